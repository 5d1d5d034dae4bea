use super::*;

/// A Monday's noon.
const END_MS: i64 = 1_700_481_600_000;

fn fleet(seed: u64) -> Fleet {
    Fleet::simulate(&FleetSpec { workloads: 12, ..FleetSpec::new(seed, END_MS) })
}

fn metric<'a>(fleet: &'a Fleet, at: usize, name: &str) -> &'a [f64] {
    let series = fleet.series[at * 4..at * 4 + 4].iter().find(|s| s.key.label("__name__") == name);
    &series.unwrap().values
}

fn mean(values: &[f64]) -> f64 {
    let known: Vec<f64> = values.iter().copied().filter(|v| !v.is_nan()).collect();
    known.iter().sum::<f64>() / known.len() as f64
}

#[test]
fn the_same_seed_gives_the_same_fleet_and_another_seed_another() {
    let bits =
        |fleet: &Fleet| fleet.series.iter().flat_map(|s| s.values.iter().map(|v| v.to_bits())).collect::<Vec<_>>();
    let (one, again, other) = (fleet(1), fleet(1), fleet(2));
    assert!(bits(&one) == bits(&again));
    assert!(bits(&one) != bits(&other));
}

#[test]
fn a_workload_does_not_depend_on_how_many_there_are() {
    let few = Fleet::simulate(&FleetSpec { workloads: 3, ..FleetSpec::new(1, END_MS) });
    let many = fleet(1);
    let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    for series in &few.series {
        let same = many.series.iter().find(|s| s.key == series.key).unwrap();
        assert!(bits(&series.values) == bits(&same.values), "{}", series.key);
    }
    assert_eq!(few.workloads[1].replicas, many.workloads[1].replicas);
}

#[test]
fn a_turn_changes_what_comes_after_it_and_nothing_before() {
    let spec = |turn_days| FleetSpec { workloads: 3, turn_days, ..FleetSpec::new(1, END_MS) };
    let (stays, turned) = (Fleet::simulate(&spec(None)), Fleet::simulate(&spec(Some(14))));
    let turn = 14 * STEPS_A_DAY;
    for at in 0..stays.workloads.len() {
        let (before, after) = (metric(&stays, at, "requests_per_second"), metric(&turned, at, "requests_per_second"));
        // Which samples were lost on the way is another matter of chance.
        let recorded = |steps: std::ops::Range<usize>| {
            let both = before[steps.clone()].iter().zip(&after[steps]);
            both.filter(|(a, b)| !a.is_nan() && !b.is_nan()).map(|(a, b)| a == b).collect::<Vec<_>>()
        };
        assert!(recorded(0..turn).iter().all(|same| *same) && recorded(0..turn).len() > turn / 2);
        assert!(recorded(turn..before.len()).iter().filter(|same| !**same).count() > STEPS_A_DAY);
    }
}

#[test]
fn it_has_the_promised_size_and_labels_and_ends_now() {
    let fleet = Fleet::simulate(&FleetSpec::new(7, END_MS + 12_345));
    assert_eq!((fleet.workloads.len(), fleet.series.len()), (120, 480));
    assert!(fleet.series.iter().all(|s| s.values.len() == 28 * 288 && s.key.label("simulated") == "true"));
    let panel = fleet.panel();
    assert!((0..panel.series_count()).all(|s| panel.cutoff_ms(s) == END_MS), "every series is recorded at the end");
    let missing = fleet.series.iter().flat_map(|s| &s.values).filter(|v| v.is_nan()).count();
    let share = missing as f64 / (480.0 * 28.0 * 288.0);
    assert!((0.0005..0.05).contains(&share), "{share}");
    assert!(fleet.series.iter().flat_map(|s| &s.values).all(|v| v.is_nan() || *v >= 0.0));
}

#[test]
fn utilisation_is_demand_over_capacity_unless_it_is_saturated() {
    let fleet = fleet(3);
    for (at, workload) in fleet.workloads.iter().enumerate() {
        let (demand, cpu) = (metric(&fleet, at, "requests_per_second"), metric(&fleet, at, "cpu_utilisation_percent"));
        let capacity = workload.unit_capacity * workload.replicas as f64;
        for (demand, cpu) in demand.iter().zip(cpu).rev().take(100) {
            if demand.is_nan() || cpu.is_nan() || *demand > 0.8 * capacity || *cpu > 90.0 {
                continue;
            }
            // A request's cost wanders by 3 %, five standard deviations of which are 15 %.
            let expected = 2.0 + 98.0 * demand / capacity;
            assert!((cpu - expected).abs() < 0.16 * expected + 1.0, "{}: {cpu} {expected}", workload.name);
        }
    }
}

#[test]
fn one_region_runs_short_at_the_end_and_the_others_do_not() {
    let fleet = Fleet::simulate(&FleetSpec::new(1, END_MS));
    let busiest = |region: &str, days: std::ops::Range<usize>| {
        let of_region = fleet.workloads.iter().enumerate().filter(|(_, w)| w.region == region);
        let saturated = of_region.map(|(at, _)| {
            let cpu = &metric(&fleet, at, "cpu_utilisation_percent")[days.start * 288..days.end * 288];
            cpu.iter().filter(|v| **v > 90.0).count()
        });
        saturated.sum::<usize>() as f64 / (40.0 * 288.0 * days.len() as f64)
    };
    let (before, at_the_end) = (busiest("ap-south", 0..14), busiest("ap-south", 21..28));
    // Over 40 minutes of each day at more than 90 %, nights and small workloads counted; before, hardly any.
    assert!(at_the_end > 0.03 && at_the_end > 4.0 * before, "{before} {at_the_end}");
    assert!(busiest("eu-west", 21..28) < 0.02, "{}", busiest("eu-west", 21..28));
}

#[test]
fn days_weeks_the_crowd_and_resets_can_be_seen() {
    let fleet = fleet(5);
    // checkout, an office's workload in Europe: noon beats midnight, a Wednesday a Sunday.
    let demand = metric(&fleet, 0, "requests_per_second");
    let at = |day: usize, hour: usize| {
        // The fleet ends on a Monday at noon, so its first step is a Monday at 12:05.
        let from = day * 288 + (hour * 12 + 288 - 145) % 288;
        mean(&demand[from..from + 12])
    };
    assert!(at(1, 11) > 1.5 * at(1, 2), "{} {}", at(1, 11), at(1, 2));
    let crowded = fleet.workloads.iter().position(|w| w.region == "us-east" && w.name.starts_with("search")).unwrap();
    let demand = metric(&fleet, crowded, "requests_per_second");
    let last_day = demand[27 * 288..].iter().copied().fold(0.0, f64::max);
    let before = demand[25 * 288..27 * 288].iter().copied().fold(0.0, f64::max);
    assert!(last_day > 1.3 * before, "{last_day} {before}");
    let resets = (0..36).filter(|at| {
        let counter = metric(&fleet, *at, "network_transmit_bytes_total");
        counter.windows(2).any(|pair| pair[1] < pair[0])
    });
    assert!(resets.count() > 10);
}
