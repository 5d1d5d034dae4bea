use foreshadow_models::Horizon;

use super::*;

const HOUR: i64 = 3_600_000;

fn reading(text: &str) -> Reading {
    Reading::from(&Config::from_toml(text, "foreshadow.toml", &[]).unwrap())
}

fn hourly(name: &str, values: &[f64]) -> RawSeries {
    let times_ms = (0..values.len() as i64).map(|hour| hour * HOUR).collect();
    RawSeries { name: name.into(), times_ms, values: values.to_vec() }
}

fn read(text: &str, raw: Vec<RawSeries>) -> (PanelSet, Vec<String>) {
    let reading = reading(text);
    reading.build(raw, BuildOptions::default()).finish(&reading, Horizon::new(24).unwrap())
}

#[test]
fn a_later_table_wins_key_by_key() {
    let text = "[[series]]\nselect = '{job=~\".+\"}'\ncounter = true\nminimum = -1\nmaximum = 9\n\
                [[series]]\nselect = 'a{job=\"x\"}'\ncounter = false\nmaximum = 5\n";
    let raw = ["a", "b"].map(|name| hourly(&format!("{name}{{job=\"x\"}}"), &[0.0, 3_600.0, 7_200.0]));
    let (set, warnings) = read(text, raw.to_vec());
    let named = |name: &str| {
        let places =
            set.panels.iter().enumerate().flat_map(|(p, panel)| (0..panel.series_count()).map(move |s| (p, s)));
        places.clone().find(|(p, s)| set.panels[*p].name(*s).starts_with(name)).unwrap()
    };
    let ((a, s), (b, t)) = (named("a"), named("b"));
    let bounds = |p: usize, s: usize| set.panels[p].window().bounds(s);
    assert_eq!((bounds(a, s).low(), bounds(a, s).high(), bounds(b, t).high()), (-1.0, 5.0, 9.0));
    assert_eq!((set.panels[a].values(s), set.panels[b].values(t)), (&[0.0, 3_600.0, 7_200.0][..], &[1.0, 1.0][..]));
    assert_eq!((set.notes[a][s].is_rate, set.notes[b][t].is_rate), (false, true));
    assert_eq!(set.notes[a][s].out_of_bounds, 2);
    assert!(warnings.len() == 1 && warnings[0].contains("2 of 3 values"), "{warnings:?}");
    assert!(warnings[0].contains("series[0].minimum and series[1].maximum"), "{warnings:?}");
}

#[test]
fn a_recorded_maximum_pairs_by_labels_and_what_it_lacks_is_named() {
    let text = "[[series]]\nselect = '{metric=\"cpu\"}'\nmaximum = '{metric=\"cores\"}'\n";
    let of = |metric: &str, host: &str| format!(r#"{{host="{host}",metric="{metric}"}}"#);
    let mut raw = vec![hourly(&of("cpu", "a"), &[1.0, 2.0, 9.0]), hourly(&of("cpu", "b"), &[1.0, 2.0, 3.0])];
    raw.push(RawSeries { name: of("cores", "a"), times_ms: vec![2 * HOUR, 0], values: vec![8.0, 4.0] });
    let (set, warnings) = read(text, raw.clone());
    assert_eq!(set.rejected.len(), 1);
    let told = "0 series match series[0].maximum, {metric=\"cores\"}, with its labels; one is needed";
    assert_eq!((set.rejected[0].name.as_str(), set.rejected[0].reason.as_str()), (of("cpu", "b").as_str(), told));
    let panel = set.panels.iter().find(|panel| panel.step_ms() == HOUR).unwrap();
    assert_eq!(panel.window().bounds(0).high(), 8.0);
    assert_eq!(panel.window_until(|_| 2).bounds(0).high(), 4.0, "a capacity to come is not known");
    assert!(warnings[0].contains("1 of 3 values lie outside series[0].maximum"), "{warnings:?}");
    // One without labels bounds all; what bounds others is not bounded itself.
    raw[2].name = "cores".into();
    let (set, _) = read("[[series]]\nselect = '{}'\nmaximum = 'cores'\n", raw);
    assert!(set.rejected.is_empty(), "{:?}", set.rejected);
    let high = |panel: &Panel, s: usize| panel.window().bounds(s).high();
    let all = || set.panels.iter().flat_map(|panel| (0..panel.series_count()).map(move |s| (panel, s)));
    assert!(all().all(|(panel, s)| high(panel, s).is_infinite() == (panel.name(s) == "cores")));
}

#[test]
fn bounds_that_two_tables_make_absurd_reject_the_series_by_their_keys() {
    let text = "[[series]]\nselect = 'a'\nminimum = 5\n[[series]]\nselect = 'a'\nmaximum = 3\n";
    let (set, _) = read(text, vec![hourly("a", &[1.0, 2.0]), hourly("b", &[1.0, 2.0])]);
    assert_eq!(set.rejected[0].reason, "series[0].minimum, 5, is not below series[1].maximum, 3");
    assert_eq!(set.series_count(), 1, "the other goes on");
}

#[test]
fn a_selector_of_nothing_and_an_undeclared_counter_are_told() {
    let rising: Vec<f64> = (0..300).map(f64::from).collect();
    let (set, warnings) = read("", vec![hourly("requests", &rising)]);
    assert_eq!(set.panels[0].values(0), rising, "it is not changed in silence");
    assert!(warnings.len() == 1 && warnings[0].starts_with("requests only rises"), "{warnings:?}");
    assert!(warnings[0].contains("counter = true in a [[series]] table"), "{warnings:?}");
    let (_, warnings) = read("[[series]]\nselect = 'requests'\ncounter = false\n", vec![hourly("requests", &rising)]);
    assert_eq!(warnings, Vec::<String>::new());
    let (_, warnings) = read("[[series]]\nselect = 'request'\n", vec![hourly("a", &[1.0, 2.0])]);
    assert_eq!(warnings, ["no series matches series[0].select, request"]);
}

#[test]
fn series_of_a_panel_share_clocks_and_the_steps_they_need() {
    let text = "[forecast]\ntime_zone = 'Europe/Berlin'\n[[series]]\nselect = 'utc'\ntime_zone = 'UTC'\n\
                [[series]]\nselect = 'howe'\ntime_zone = 'Australia/Lord_Howe'\n";
    let start = crate::telemetry::parse_time("2025-03-28T00:00:00Z").unwrap();
    let at = |name: &str, hours: i64| RawSeries {
        name: name.into(),
        times_ms: (0..hours).map(|hour| start + hour * HOUR).collect(),
        values: (0..hours).map(|hour| hour as f64).collect(),
    };
    // 40 hours end before the change of 2025-03-30T01:00Z, 60 after it.
    let raw = vec![at("early", 40), at("utc", 40), at("late", 60), at("howe", 40), at("early_too", 41)];
    let (set, _) = read(text, raw);
    let told = |panel: &Panel| {
        let names: Vec<&str> = (0..panel.series_count()).map(|s| panel.name(s)).collect();
        (panel.clock().map_or("UTC", |clock| clock.name()).to_string(), names.join(" "))
    };
    let told: Vec<(String, String)> = set.panels.iter().map(told).collect();
    let wanted = [
        ("Europe/Berlin", "early early_too"),
        ("Europe/Berlin", "late"),
        ("UTC", "utc"),
        ("Australia/Lord_Howe", "howe"),
    ];
    assert_eq!(told, wanted.map(|(zone, names)| (zone.to_string(), names.to_string())));
    assert!(set.panels.iter().zip(&set.notes).all(|(panel, notes)| panel.series_count() == notes.len()));
    assert_eq!(set.panels[0].start_ms(0), start, "times stay those of UTC");
}

#[test]
fn a_part_of_a_fleet_is_bounded_as_in_the_whole() {
    let reading =
        reading("[[series]]\nselect = 'used'\nmaximum = 'cores'\n[[series]]\nselect = 'mem'\nmaximum = 'limit'\n");
    let names = ["mem{h='a'}", "used{h='a'}", "limit", "cores{h='b'}", "used{h='b'}", "cores{h='a'}"];
    let levels = [1.0, 2.0, 30.0, 40.0, 5.0, 60.0];
    let raw: Vec<RawSeries> = names.iter().zip(levels).map(|(name, level)| hourly(name, &[level; 3])).collect();
    let bonds = reading.bonds(&reading.keys(names.into_iter()), |_| true);
    assert_eq!(bonds.ties, [vec![3, 4], vec![5, 1]]);
    assert_eq!(bonds.known_to_all().collect::<Vec<_>>(), [2]);
    let known = reading.known(&bonds, &raw[2..3]);
    let high = |part: &[usize]| {
        let raw = part.iter().map(|series| raw[*series].clone()).collect();
        let read = reading.build_part(raw, BuildOptions::default(), &known);
        let (set, _) = read.finish(&reading, Horizon::new(24).unwrap());
        assert!(set.rejected.is_empty(), "{:?}", set.rejected);
        let panel = &set.panels[0];
        (0..panel.series_count()).map(|series| panel.window().bounds(series).high()).collect::<Vec<f64>>()
    };
    assert_eq!(high(&[0]), [30.0], "the only one of its table bounds all");
    assert_eq!(high(&[4, 3]), [40.0, f64::INFINITY]);
    assert_eq!(high(&[5, 1]), [f64::INFINITY, 60.0]);
}
