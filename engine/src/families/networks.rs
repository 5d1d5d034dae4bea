//! Networks that were trained before, and the families of `forecast.models` that ask for them.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use foreshadow_models::Model;
use foreshadow_models::neural::{LstmGlobal, Network};
use foreshadow_models::pretrained::{ChronosBolt, Pretrained};

/// What names that ask for a network begin with.
const GLOBAL: &str = "lstm-global=";
const PRETRAINED: &str = "pretrained=";

/// What a name asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// A file that `foreshadow train` wrote.
    Global(&'a str),
    /// A folder with a checkpoint that others trained.
    Pretrained(&'a str),
}

/// A network that was read.
#[derive(Clone, Debug)]
pub enum Read {
    /// Of a fleet.
    Global(Network),
    /// Of others.
    Pretrained(Arc<ChronosBolt>),
}

/// Networks by the names that ask for them.
#[derive(Clone, Debug, Default)]
pub struct Networks(BTreeMap<String, Read>);

impl Networks {
    /// What a name asks for; `None` of the name of any other family.
    pub fn wanted(name: &str) -> Option<Wanted<'_>> {
        let global = name.strip_prefix(GLOBAL).map(Wanted::Global);
        global.or_else(|| name.strip_prefix(PRETRAINED).map(Wanted::Pretrained))
    }

    /// The names among those of families that ask for one, also beside `auto`'s own, each with what it asks for.
    pub fn all_wanted(families: &[String]) -> impl Iterator<Item = (&str, Wanted<'_>)> {
        let names = families.iter().flat_map(|family| {
            let words: Vec<&str> = if super::is_auto(family) { family.split('+').collect() } else { vec![family] };
            words
        });
        names.filter_map(|name| Some((name, Self::wanted(name)?)))
    }

    /// Adds the network that a name asks for.
    pub fn insert(&mut self, name: &str, network: Read) {
        self.0.insert(name.into(), network);
    }

    /// The family of a name that asks for a network.
    pub(super) fn family(&self, name: &str) -> Option<Box<dyn Model>> {
        Some(match self.0.get(name)? {
            Read::Global(network) => Box::new(LstmGlobal::trained(name, network.clone())),
            Read::Pretrained(network) => Box::new(Pretrained::new(name, network.clone())),
        })
    }

    /// A number that other networks do not have, whatever their files are called.
    pub fn mark(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (name, network) in &self.0 {
            name.hash(&mut hasher);
            match network {
                Read::Global(network) => network.bytes().hash(&mut hasher),
                Read::Pretrained(network) => network.mark().hash(&mut hasher),
            }
        }
        hasher.finish()
    }
}
