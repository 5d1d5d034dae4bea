//! Networks that were trained before, and the families of `forecast.models` that ask for them.

use std::collections::BTreeMap;

use foreshadow_models::neural::Network;

/// What a name that asks for a network begins with.
const ASKS: &str = "lstm-global=";

/// Networks by the names that ask for them.
#[derive(Clone, Debug, Default)]
pub struct Networks(BTreeMap<String, Network>);

impl Networks {
    /// The file that a name asks for; `None` of any other name.
    pub fn path_in(name: &str) -> Option<&str> {
        name.strip_prefix(ASKS)
    }

    /// The names among those of families that ask for one, also beside `auto`'s own, each with its file.
    pub fn asked_for(families: &[String]) -> impl Iterator<Item = (&str, &str)> {
        let names = families.iter().flat_map(|family| {
            let words: Vec<&str> = if super::is_auto(family) { family.split('+').collect() } else { vec![family] };
            words
        });
        names.filter_map(|name| Some((name, Self::path_in(name)?)))
    }

    /// Adds the network that a name asks for.
    pub fn insert(&mut self, name: String, network: Network) {
        self.0.insert(name, network);
    }

    /// The network that a name asks for.
    pub fn of(&self, name: &str) -> Option<&Network> {
        self.0.get(name)
    }
}
