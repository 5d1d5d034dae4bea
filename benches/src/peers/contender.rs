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
