//! Who competes.

use foreshadow_models::Panel;
use serde_json::Value;

use crate::{arima, autoets, mstl, prophet, theta};

/// Whether our fit of each series of a panel is no worse than a peer's, re-scored from the parameters that it exported;
/// `None` where they cannot be read. Seasons are in steps, rising.
pub(super) type Parity = fn(&Panel, &[usize], &[&Value]) -> Vec<Option<bool>>;

/// A row of the table.
#[derive(Debug)]
pub(super) struct Contender {
    /// Its name in figures.
    pub(super) figure: &'static str,
    /// Its name in tables.
    pub(super) shown: &'static str,
    /// What its program calls it.
    pub(super) asked: &'static str,
    /// The family of ours that a peer is compared with; `None` for ours.
    pub(super) rival: Option<&'static str>,
    /// How its fits are judged beside ours.
    pub(super) parity: Option<Parity>,
}

impl Contender {
    const fn ours(name: &'static str) -> Self {
        Self { figure: name, shown: name, asked: name, rival: None, parity: None }
    }

    const fn peer(figure: &'static str, shown: &'static str, asked: &'static str, rival: &'static str) -> Self {
        Self { figure, shown, asked, rival: Some(rival), parity: None }
    }

    const fn judged_by(self, parity: Parity) -> Self {
        Self { parity: Some(parity), ..self }
    }

    /// The contender of a name in figures.
    pub(super) fn named(name: &str) -> &'static Self {
        let all = OURS.iter().chain(&PEERS);
        all.into_iter().find(|contender| contender.figure == name).expect("a rival or a growth names a contender")
    }
}

/// Ours, the cheapest first.
pub(super) static OURS: [Contender; 10] = [
    Contender::ours("snaive"),
    Contender::ours("ridge"),
    Contender::ours("theta"),
    Contender::ours("prophet"),
    Contender::ours("mstl"),
    Contender::ours("autoets"),
    Contender::ours("ces"),
    Contender::ours("autoarima"),
    Contender::ours("sarima"),
    Contender::ours("auto"),
];

/// Every peer beside the family of ours that it is compared with.
pub(super) static PEERS: [Contender; 10] = [
    Contender::peer("sf_snaive", "statsforecast SeasonalNaive", "snaive", "snaive"),
    Contender::peer("flaircast", "flaircast", "flaircast", "ridge"),
    Contender::peer("sf_theta", "statsforecast DynamicOptimizedTheta", "theta", "theta").judged_by(theta::no_worse),
    Contender::peer("prophet_stan", "prophet", "prophet", "prophet").judged_by(prophet::no_worse),
    Contender::peer("sf_mstl", "statsforecast MSTL", "mstl", "mstl").judged_by(mstl::equal),
    Contender::peer("sf_autoets", "statsforecast AutoETS", "autoets", "autoets").judged_by(autoets::no_worse),
    Contender::peer("sf_ces", "statsforecast AutoCES", "ces", "ces"),
    Contender::peer("sf_autoarima", "statsforecast AutoARIMA, no season", "autoarima", "autoarima")
        .judged_by(arima::no_worse),
    Contender::peer("sf_sarima", "statsforecast AutoARIMA", "sarima", "sarima").judged_by(arima::no_worse),
    Contender::peer("pmdarima", "pmdarima auto_arima, no season", "pmdarima", "autoarima").judged_by(arima::no_worse),
];

#[cfg(test)]
mod tests {
    use foreshadow_models::classical::Mstl;
    use serde_json::json;

    use super::*;

    fn panel() -> Panel {
        let mut panel = Panel::new(3_600_000);
        let noise = |t: usize| ((t * 7_919) % 101) as f64 / 101.0;
        let values: Vec<f64> = (0..200).map(|t| 10.0 + (t % 4) as f64 + noise(t)).collect();
        panel.push("wave".into(), 0, &values);
        panel
    }

    #[test]
    fn fits_that_cannot_be_read_are_no_verdict() {
        for peer in &PEERS {
            for unread in [json!({}), Value::Null, json!({ "kind": "XYZ", "order": [1, 2], "cycles": [["a"]] })] {
                let verdicts = peer.parity.map(|judge| judge(&panel(), &[4], &[&unread]));
                assert!(verdicts.is_none_or(|verdicts| verdicts == [None]), "{} of {unread}", peer.figure);
            }
        }
    }

    #[test]
    fn poorer_parameters_than_ours_are_told_by_the_same_judge() {
        let arima =
            json!({ "order": [1, 0, 0, 0, 0, 0], "ar": [0.1], "ma": [], "sar": [], "sma": [], "constant": 9.0 });
        assert_eq!(arima::no_worse(&panel(), &[4], &[&arima]), [Some(true)]);
        let theta = json!({ "level": 10.0, "alpha": 0.9, "theta": 2.0, "season": null });
        assert_eq!(theta::no_worse(&panel(), &[4], &[&theta]), [Some(true)]);
        let ets = json!({ "kind": "ANNN", "par": [0.9, null, null, null, 10.0] });
        assert_eq!(autoets::no_worse(&panel(), &[4], &[&ets]), [Some(true)]);
    }

    #[test]
    fn seasons_are_equal_or_not() {
        let ours = Mstl::new(&[4]).learn(&panel().window()).unwrap();
        let mut cycle = ours.cycles(0).unwrap()[0].clone();
        assert_eq!(mstl::equal(&panel(), &[4], &[&json!({ "cycles": [cycle] })]), [Some(true)]);
        cycle[2] += 0.1;
        assert_eq!(mstl::equal(&panel(), &[4], &[&json!({ "cycles": [cycle] })]), [Some(false)]);
        assert_eq!(mstl::equal(&panel(), &[1], &[&json!({ "cycles": [cycle] })]), [None], "no season to tell");
    }
}
