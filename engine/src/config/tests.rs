use foreshadow_models::classical::{Builtin, Growth, Holiday, Known, Mode, ProphetConfig, Season};

use super::*;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::from_toml(text, "foreshadow.toml", &[])
}

/// The default text with its examples made settings.
fn uncommented() -> String {
    let is_example = |line: &str| {
        let key = line.split(" = ").next().unwrap_or_default();
        line.starts_with('[') || (line.contains(" = ") && key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
    };
    let example = |line| Some(line).and_then(|line: &str| line.strip_prefix("# ")).filter(|line| is_example(line));
    DEFAULT.lines().map(|line| example(line).unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_printed_defaults_are_the_defaults() {
    let (printed, silent) = (parse(DEFAULT).unwrap(), parse("").unwrap());
    assert_eq!(format!("{printed:?}"), format!("{silent:?}"));
}

#[test]
fn every_key_is_documented() {
    let raw: RawConfig = toml::from_str(&uncommented()).unwrap();
    assert!(raw.source.is_some() && raw.workload.len() == 1, "the examples were made settings");
    for (section, table) in [
        ("[source]", "[source]\nno_such_key = 1"),
        ("[source.file]", "[source.file]\npath = 'a'\nno_such_key = 1"),
        ("[source.prometheus]", "[source.prometheus]\nno_such_key = 1"),
        ("[forecast]", "[forecast]\nno_such_key = 1"),
        ("[prophet]", "[prophet]\nno_such_key = 1"),
        ("[[prophet.season]]", "[[prophet.season]]\nno_such_key = 1"),
        ("[[prophet.holiday]]", "[[prophet.holiday]]\nno_such_key = 1"),
        ("[[regressor]]", "[[regressor]]\nno_such_key = 1"),
        ("[[series]]", "[[series]]\nno_such_key = 1"),
        ("[issue]", "[issue]\nno_such_key = 1"),
        ("[store]", "[store]\nno_such_key = 1"),
        ("[serve]", "[serve]\nno_such_key = 1"),
        ("[[workload]]", "[[workload]]\nno_such_key = 1"),
        ("[[aggregate]]", "[[aggregate]]\nno_such_key = 1"),
    ] {
        let message = toml::from_str::<RawConfig>(table).unwrap_err().message().to_string();
        let (_, expected) = message.split_once("expected").unwrap_or_else(|| panic!("{message}"));
        for key in expected.split('`').skip(1).step_by(2) {
            let documented = DEFAULT.contains(&format!("{key} = ")) || DEFAULT.contains(&format!(".{key}]"));
            assert!(documented, "{section} {key}");
        }
    }
}

/// Each text is refused with what it says, and a way out.
fn are_refused(texts: &[(&str, &str)]) {
    for (text, said) in texts {
        let error = parse(text).unwrap_err();
        assert!(error.to_string().contains(said), "{text}\n{error}");
        assert!(miette::Diagnostic::help(&error).is_some());
    }
}

#[test]
fn a_refusal_names_place_key_and_way_out() {
    let workload = "[[workload]]\nname = 'a'\ndemand = 'x'\nunit_capacity = 1\nmax = 5\n";
    let series = "[[series]]\nselect = 'a'\n";
    let aggregate = "[[aggregate]]\nname = 'a'\nfunction = 'sum'\nselect = 'x'\n";
    are_refused(&[
        ("[forecast]\nhorizon = 3", "foreshadow.toml line 2: unknown field `horizon`"),
        ("[forecast]\n\nhorizon_steps = 0", "foreshadow.toml line 3: `forecast.horizon_steps` is 0"),
        ("[forecast]\nmodels = ['naive', 'naive']", "line 2: `forecast.models` is \"naive\""),
        ("[serve]\ngrpc = '0.0.0.0:7460'", "line 2: `serve.grpc` is \"0.0.0.0:7460\""),
        ("[serve]\nhttp = 'unix:relative'", "line 2: `serve.http` is \"unix:relative\""),
        ("[serve]\nhttp = '127.0.0.1:7460'", "line 2: `serve.http` is \"127.0.0.1:7460\""),
        ("[issue]\nslot = '30'", "line 2: `issue.slot` is \"30\""),
        ("[forecast]\nrefit_after = '60d'", "line 2: `forecast.refit_after` is \"60d\""),
        ("[forecast]\nquantiles = [0.5, 0.1]", "line 2: `forecast.quantiles` is [0.5, 0.1]"),
        ("[source]\n", "line 1: `source` is not set"),
        ("[source.file]\npath = 'a'\ntime_unit = 'min'", "line 3: `source.file.time_unit` is \"min\""),
        ("[source.prometheus]\nurl = 'x'\nqueries = ['up']", "line 2: `source.prometheus.url` is \"x\""),
        (
            "[source.prometheus]\nurl = 'http://h'\nqueries = ['up', 'sum(up)']",
            "line 3: `source.prometheus.queries` is \"sum(up)\"",
        ),
        (&format!("{workload}target = 1.5"), "line 6: `workload[0].target` is 1.5"),
        (&format!("{workload}\n{workload}"), "line 8: `workload[1].name` is \"a\""),
        (&format!("{workload}utilisation = 'u'"), "line 3: `workload[0].demand` is \"x\""),
        (&format!("{workload}min = 6"), "line 5: `workload[0].max` is 5"),
        ("[forecast]\ntime_zone = 'Europe/Berln'", "line 2: `forecast.time_zone` is \"Europe/Berln\""),
        (&format!("{series}minimum = 5\nmaximum = 5"), "line 4: `series[0].maximum` is 5.0"),
        (&format!("{series}minimum = nan"), "line 3: `series[0].minimum` is NaN"),
        (&format!("{series}maximum = inf"), "line 3: `series[0].maximum` is inf"),
        (&format!("{series}maximum = 'a{{'"), "line 3: `series[0].maximum` is \"a{\""),
        (&format!("{series}{series}time_zone = 'Mars'"), "line 5: `series[1].time_zone` is \"Mars\""),
        ("[[series]]\nselect = 'a b'", "line 2: `series[0].select` is \"a b\""),
        ("[[series]]\nminimum = 1", "line 1: missing field `select`"),
        (&format!("{aggregate}{aggregate}"), "line 6: `aggregate[1].name` is \"a\""),
        (&aggregate.replace("'a'", "'foreshadow_demand'"), "line 2: `aggregate[0].name` is \"foreshadow_demand\""),
        (&aggregate.replace("sum", "mean"), "line 3: `aggregate[0].function` is \"mean\""),
        (&aggregate.replace("'x'", "'x{'"), "line 4: `aggregate[0].select` is \"x{\""),
        (&format!("{aggregate}by = ['host', 'host']"), "line 5: `aggregate[0].by` is \"host\""),
        (&format!("{aggregate}by = ['__name__']"), "line 5: `aggregate[0].by` is \"__name__\""),
        ("[[aggregate]]\nname = 'a'\nfunction = 'sum'", "missing field `select`"),
        ("forecast = [", "line 1: "),
    ]);
}

#[test]
fn a_refusal_of_what_moves_series_names_place_key_and_way_out() {
    let season = "[[prophet.season]]\nname = 'a'\nperiod = '30d 12h'\n";
    let holiday = "[[prophet.holiday]]\nname = 'a'\n";
    let regressor = "[[regressor]]\nname = 'a'\nfile = 'r.csv'\n";
    are_refused(&[
        ("[prophet]\nregressors = 1", "foreshadow.toml line 2: unknown field `regressors`"),
        ("[prophet]\ngrowth = 'cubic'", "line 2: `prophet.growth` is \"cubic\""),
        ("[prophet]\ngrowth = 'logistic'", "line 1: `prophet.capacity` is not set"),
        ("[prophet]\ngrowth = 'logistic'\ncapacity = nan", "line 3: `prophet.capacity` is NaN"),
        ("[prophet]\ngrowth = 'logistic'\ncapacity = 5\nfloor = 7", "line 3: `prophet.capacity` is 5.0"),
        ("[prophet]\ncapacity = 5", "line 2: `prophet.capacity` is 5.0"),
        ("[prophet]\nchangepoint_range = inf", "line 2: `prophet.changepoint_range` is inf"),
        ("[prophet]\n\nyearly = 'on'", "line 3: `prophet.yearly` is \"on\""),
        ("[prophet]\ndaily = 0", "line 2: `prophet.daily` is 0"),
        ("[prophet]\nholidays = ['US', 'Atlantis']", "line 2: `prophet.holidays` is \"Atlantis\""),
        (&format!("{season}order = 0"), "line 4: `prophet.season[0].order` is 0"),
        (&format!("{season}order = 3\n{season}order = 3"), "line 6: `prophet.season[1].name` is \"a\""),
        (&format!("{season}order = 3\nmode = 'both'"), "line 5: `prophet.season[0].mode` is \"both\""),
        ("[[prophet.season]]\nname = 'a'\nperiod = '7'\norder = 3", "line 3: `prophet.season[0].period` is \"7\""),
        ("[[prophet.season]]\nname = 'a'\nperiod = '7d'", "missing field `order`"),
        (&format!("{holiday}dates = ['2026-02-30']"), "line 3: `prophet.holiday[0].dates` is \"2026-02-30\""),
        (&format!("{holiday}dates = []\nlower_window = 1"), "line 4: `prophet.holiday[0].lower_window` is 1"),
        (&format!("{season}order = 300\n[prophet]\nyearly = 300"), "`prophet` is refused: the order of all seasons"),
        ("[[regressor]]\nname = 'a'", "line 1: `regressor[0].file` is not set"),
        (&format!("{regressor}{regressor}"), "line 5: `regressor[1].name` is \"a\""),
        (&format!("{regressor}series = 'up{{'"), "line 4: `regressor[0].series` is \"up{\""),
        (&format!("{regressor}mode = 'both'"), "line 4: `regressor[0].mode` is \"both\""),
        (&format!("{regressor}prior_scale = 0"), "line 4: `regressor[0].prior_scale` is 0"),
        (&format!("{regressor}known_future = 'no'"), "line 4: `known_future`: invalid type"),
        (&format!("{season}order = 3\n{regressor}"), "line 6: `regressor[0].name` is \"a\""),
    ]);
}

#[test]
fn flags_win_over_the_environment_and_it_wins_over_the_file() {
    let text = "[serve]\ngrpc = '127.0.0.1:1'\nqueue = 5\nhttp = '127.0.0.1:2'";
    let environment = [
        Override::from_env("FORESHADOW_SERVE_GRPC", "127.0.0.1:3").unwrap(),
        Override::from_env("FORESHADOW_SERVE_QUEUE", "6").unwrap(),
    ];
    let flag = Override::flag("--grpc", "serve.grpc", "unix:/run/a.sock");
    let config = Config::from_toml(text, "f", &[environment.as_slice(), &[flag]].concat()).unwrap();
    assert_eq!(config.serve().grpc(), &Listen::Unix("/run/a.sock".into()));
    assert_eq!((config.serve().queue(), config.serve().http().to_string().as_str()), (6, "127.0.0.1:2"));
    assert!(Override::from_env("FORESHADOW_DATA", "../data").is_none());
}

#[test]
fn naming_one_source_drops_the_other() {
    let text = "[source.prometheus]\nurl = 'http://h'\nqueries = ['up']";
    let flag = Override::flag("--input", "source.file.path", "a.csv");
    let config = Config::from_toml(text, "f", &[flag]).unwrap();
    assert!(matches!(config.source(), Some(SourceConfig::File(spec)) if spec.path == Path::new("a.csv")));
    let lone = Override::from_env("FORESHADOW_SOURCE_FILE_VALUE_COLUMN", "y").unwrap();
    let error = Config::from_toml("", "f", &[lone]).unwrap_err().to_string();
    assert!(error.contains("`source.file.path` is not set"), "{error}");
}

#[test]
fn a_bad_override_is_named_by_its_origin() {
    for (name, value, said) in [
        ("FORESHADOW_SERVE_QUEUE", "many", "FORESHADOW_SERVE_QUEUE: invalid type"),
        ("FORESHADOW_SERVE_GRCP", "127.0.0.1:1", "FORESHADOW_SERVE_GRCP: unknown field `grcp`"),
        ("FORESHADOW_SERVE_GRPC", "10.0.0.1:1", "FORESHADOW_SERVE_GRPC: `serve.grpc` is \"10.0.0.1:1\""),
    ] {
        let error = Config::from_toml("", "f", &[Override::from_env(name, value).unwrap()]).unwrap_err();
        assert!(error.to_string().starts_with(said), "{error}");
    }
}

#[test]
fn prophet_is_what_its_table_says() {
    let usual = parse("").unwrap();
    assert_eq!(usual.prophet().config(), &ProphetConfig::default());
    let text = "[prophet]\ngrowth = 'logistic'\ncapacity = 90\nfloor = 10\nseasonality_mode = 'multiplicative'\n\
                changepoints = 10\nyearly = 'off'\ndaily = 6\nholidays = ['us', 'Germany']\n\
                [[prophet.season]]\nname = 'month'\nperiod = '30d 12h'\norder = 5\nmode = 'additive'\n\
                [[prophet.holiday]]\nname = 'sale'\ndates = ['1970-01-02']\nlower_window = -1\nupper_window = 2\n";
    let growth = Override::from_env("FORESHADOW_PROPHET_CAPACITY", "95").unwrap();
    let config = Config::from_toml(text, "f", &[growth]).unwrap();
    let expected = ProphetConfig {
        growth: Growth::Logistic { capacity: Known::Constant(95.0), floor: Some(Known::Constant(10.0)) },
        mode: Mode::Multiplicative,
        changepoint_count: 10,
        yearly: Builtin::Off,
        daily: Builtin::Order(6),
        countries: vec!["us".into(), "Germany".into()],
        seasons: vec![Season {
            name: "month".into(),
            period_days: 30.5,
            order: 5,
            prior_scale: None,
            mode: Some(Mode::Additive),
        }],
        holidays: vec![Holiday {
            name: "sale".into(),
            dates_ms: vec![86_400_000],
            days_before: 1,
            days_after: 2,
            prior_scale: None,
        }],
        ..ProphetConfig::default()
    };
    assert_eq!(config.prophet().config(), &expected);
}

#[test]
fn a_regressor_reads_its_own_file_or_the_one_of_all() {
    let text = "[source.file]\npath = 'm.csv'\ntime_column = 't'\n[[regressor]]\nname = 'a'\nknown_future = false\n\
                [[regressor]]\nname = 'b'\nfile = 'own.csv'\nseries = 'rps'\nmode = 'multiplicative'\nprior_scale = 2\n";
    let flag = || Override::flag("--regressors", "forecast.regressors", "all.csv");
    let config = Config::from_toml(text, "f", &[flag()]).unwrap();
    let [a, b] = config.regressors() else { panic!("two were asked for") };
    assert_eq!((a.table().path.to_str(), b.table().path.to_str()), (Some("all.csv"), Some("own.csv")));
    assert_eq!((a.table().time_column.as_str(), a.known_future(), b.known_future()), ("t", false, true));
    assert_eq!((b.mode(), b.prior_scale()), (Some(Mode::Multiplicative), Some(2.0)));
    assert!(config.regressor_table().is_none(), "the tables tell which regressors there are");
    let all = Config::from_toml("", "f", &[flag()]).unwrap();
    assert_eq!(all.regressor_table().map(|table| table.path.as_path()), Some(Path::new("all.csv")));
}

#[test]
fn an_aggregate_is_one_of_all_unless_it_names_labels() {
    let text = "[[aggregate]]\nname = 'all'\nfunction = 'max'\nselect = 'cpu'\n[[aggregate]]\nname = 'b'\n\
                function = 'sum'\nselect = 'rps{a=\"1\"}'\nby = ['region', 'zone']";
    let config = parse(text).unwrap();
    let [all, b] = config.aggregates() else { panic!("two were asked for") };
    assert_eq!((all.function(), all.by().len(), all.select().to_string().as_str()), (Function::Max, 0, "cpu"));
    assert_eq!((b.name(), b.function(), b.by().join(" ").as_str()), ("b", Function::Sum, "region zone"));
}

#[test]
fn workloads_add_their_quantiles() {
    let workload = "[[workload]]\nname = 'a'\nutilisation = 'u'\ncapacity = 4\nunit_capacity = 1\nmax = 5\n";
    let config = parse(&format!("{workload}quantile = 0.95\nlead_time = '1h 30m'")).unwrap();
    assert_eq!(config.quantiles().index_of(0.95), Some(10));
    assert_eq!(config.quantiles().levels().len(), 12);
    let workload = &config.workloads()[0];
    assert_eq!(workload.lead_time_ms(), 5_400_000);
    assert!(matches!(workload.demand(), Demand::Utilisation { capacity: Capacity::Number(n), .. } if *n == 4.0));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let missing = Config::load(Some(Path::new("/no/such.toml")), &[]).unwrap_err();
    assert_eq!(missing.to_string(), "cannot read the configuration /no/such.toml");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.toml");
    std::fs::write(&path, b"# ok\n[store]\npath = '\xff'").unwrap();
    let error = Config::load(Some(&path), &[]).unwrap_err().to_string();
    assert!(error.ends_with("f.toml line 3: the text is not UTF-8"), "{error}");
}
