//! A server that answers as Prometheus does, with one series that differs at every question.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

/// Samples in one answer, a second apart.
const SAMPLES: u64 = 60;

/// A server on loopback that runs until it is dropped.
#[derive(Debug)]
pub struct MetricServer {
    address: SocketAddr,
    url: String,
    answers: Arc<AtomicU64>,
    stopped: Arc<AtomicBool>,
    serving: Option<JoinHandle<()>>,
}

impl MetricServer {
    /// Starts it on a free port.
    ///
    /// # Panics
    /// When loopback has no free port.
    pub fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().expect("it is an address"))
    }

    /// Starts it at an address, as after an outage.
    ///
    /// # Panics
    /// When another program has the address.
    pub fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).expect("the address is free");
        let address = listener.local_addr().expect("it is bound");
        let (answers, stopped) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, stop) = (answers.clone(), stopped.clone());
        let serving = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
                let _ = answer(&stream, number); // a client that was killed reads no answer
            }
        });
        Self { address, url: format!("http://{address}"), answers, stopped, serving: Some(serving) }
    }

    /// Where it answers.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Answers so far; the newest sample of the n-th is n.
    pub fn answers(&self) -> u64 {
        self.answers.load(Ordering::SeqCst)
    }
}

/// Nobody answers at its address any more.
impl Drop for MetricServer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address); // wakes it, so that it sees that it is stopped
        let _ = self.serving.take().map(JoinHandle::join); // its panic was told by the panic hook
    }
}

fn answer(stream: &TcpStream, number: u64) -> std::io::Result<()> {
    let head = BufReader::new(stream).lines().map_while(Result::ok);
    head.take_while(|line| !line.is_empty()).for_each(drop);
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is past 1970").as_secs();
    let value = |age: u64| number as f64 + (age % 7) as f64;
    let samples: Vec<String> = (0..SAMPLES).rev().map(|age| format!("[{},\"{}\"]", now_s - age, value(age))).collect();
    let body = format!(
        r#"{{"status":"success","data":{{"resultType":"matrix","result":[{{"metric":{{"__name__":"requests"}},"values":[{}]}}]}}}}"#,
        samples.join(",")
    );
    let length = body.len();
    write!({ stream }, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}
