use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use foreshadow_models::RawSeries;

use super::*;

const NOW_MS: i64 = 1_700_000_000_000;

/// A server that gives canned answers one after the other, the last one for ever, and keeps what was asked.
fn serve(answers: Vec<(u16, String)>) -> (PrometheusSpec, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 8_192];
            let read = stream.read(&mut head).unwrap();
            let line = String::from_utf8_lossy(&head[..read]).lines().next().unwrap_or_default().to_string();
            let mut kept = kept.lock().unwrap();
            let (status, body) = &answers[kept.len().min(answers.len() - 1)];
            kept.push(line);
            let length = body.len();
            let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
        }
    });
    (spec(&url), asked)
}

fn spec(url: &str) -> PrometheusSpec {
    PrometheusSpec {
        url: url.parse().unwrap(),
        queries: vec!["up".into()],
        range_ms: 2 * FIRST_SLICE_MS,
        step_ms: None,
        timeout: Duration::from_secs(5),
        retries: 0,
    }
}

fn read(spec: &PrometheusSpec) -> Result<Vec<RawSeries>, PrometheusError> {
    let mut spool = Spool::default();
    spec.read_into(NOW_MS, &mut spool)?;
    Ok((0..spool.series_count()).map(|series| spool.take(series).unwrap()).collect())
}

fn matrix(samples: &str) -> (u16, String) {
    let series = format!(r#"{{"metric":{{"__name__":"up","job":"a"}},"values":[{samples}]}}"#);
    (200, format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{series}]}}}}"#))
}

#[test]
fn slices_join_without_a_sample_twice() {
    let (spec, asked) = serve(vec![matrix(r#"[1,"1"],[2.5,"NaN"]"#), matrix(r#"[2.5,"NaN"],[3,"+Inf"]"#)]);
    let series = read(&spec).unwrap();
    assert_eq!((series.len(), series[0].name.as_str()), (1, r#"up{job="a"}"#));
    assert_eq!(series[0].times_ms, [1_000, 2_500, 3_000]);
    assert!(series[0].values[1].is_nan() && series[0].values[2] == f64::INFINITY);
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 2);
    assert!(asked[0].contains("/api/v1/query?query=up%5B86400000ms%5D&time=1699913600.000"), "{asked:?}");
    assert!(asked[1].contains("time=1700000000.000"), "{asked:?}");
}

#[test]
fn an_answer_too_large_is_asked_for_in_smaller_slices() {
    let many = (422, r#"{"status":"error","errorType":"execution","error":"query processing would load too many samples into memory in query execution"}"#.into());
    let (spec, asked) = serve(vec![many.clone(), matrix(r#"[1,"1"]"#)]);
    assert_eq!(read(&spec).unwrap()[0].values, [1.0]);
    let asked = asked.lock().unwrap();
    assert!(asked[1].contains("up%5B21600000ms%5D"), "a quarter of a day: {asked:?}");
    assert!(asked[2].contains("up%5B86400000ms%5D"), "and four times longer again: {asked:?}");
    let (spec, _) = serve(vec![many]);
    assert!(matches!(read(&spec), Err(PrometheusError::TooMuch { .. })));
}

#[test]
fn resampling_stays_under_the_servers_limit() {
    let (mut spec, asked) = serve(vec![matrix(r#"[1,"1"]"#)]);
    (spec.step_ms, spec.range_ms) = (Some(15_000), 2 * FIRST_SLICE_MS);
    read(&spec).unwrap();
    let asked = asked.lock().unwrap();
    // Two days of 15 s are 11,520 steps and the first one; 1,700,000,000 lies 5 s past a multiple.
    assert_eq!(asked.len(), 2);
    assert!(asked[0].contains("query_range?query=up&start=1699827210.000&end=1699977195.000&step=15.000"), "{asked:?}");
    assert!(asked[1].contains("start=1699977210.000&end=1699999995.000"), "{asked:?}");
}

#[test]
fn a_fault_that_may_pass_is_tried_again() {
    let (mut spec, asked) = serve(vec![(503, "busy".into()), matrix(r#"[1,"1"]"#)]);
    (spec.retries, spec.range_ms) = (1, FIRST_SLICE_MS);
    read(&spec).unwrap();
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[test]
fn each_kind_of_failure_is_told_apart() {
    let vector = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
    let empty = r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#;
    for ((status, body), said) in [
        ((200, "<html>hello"), "does not answer as Prometheus does: expected value at line 1"),
        ((200, r#"{"status":"success"}"#), "it holds no data, beginning"),
        ((200, vector), "a vector instead of a matrix"),
        ((200, empty), "has no sample of up in the range"),
        ((200, &matrix(r#"[1,"one"]"#).1), r#""one\" is no number"#),
        ((404, "no such page"), "refused `up[86400000ms]` with status 404: no such page"),
        ((400, r#"{"status":"error","error":"parse error"}"#), "with status 400: parse error"),
    ] {
        let (spec, _) = serve(vec![(status, body.into())]);
        let error = read(&spec).unwrap_err().to_string();
        assert!(error.contains(said) || error.replace('\\', "").contains(&said.replace('\\', "")), "{error}");
    }
}

#[test]
fn a_server_that_is_down_or_slow_is_named() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap(); // accepts by the system's queue, never answers
    let mut slow = spec(&format!("http://user:secret@{}", silent.local_addr().unwrap()));
    slow.timeout = Duration::from_millis(100);
    let error = read(&slow).unwrap_err();
    assert!(matches!(error, PrometheusError::Slow { attempts: 1, .. }), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
    let address = silent.local_addr().unwrap();
    drop(silent);
    let error = read(&spec(&format!("http://{address}"))).unwrap_err();
    assert!(matches!(error, PrometheusError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}
