//! The Terraform provider of Foreshadow: recommendations enter a plan as data, and a sticky decision
//! resource judges them. [`sdk`] knows Terraform's protocol and nothing of us; the rest is ours.

pub mod decision;
pub mod engine;
pub mod provider;
pub mod recommendation;
pub mod sdk;
pub mod settings;
