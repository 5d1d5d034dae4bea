//! The provider from outside: under the real `terraform` against an engine whose answers the tests
//! set, and under a strict plugin host of our own.

mod documents;
mod faults;
mod hosting;
mod plans;
mod support;

use std::path::Path;

use support::stub_engine::StubEngine;
use support::terraform::Terraform;

/// The binary under test.
fn provider() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_terraform-provider-foreshadow"))
}

/// A workspace and an engine beside it, or none where there is no terraform.
fn workspace() -> Option<(Terraform, StubEngine)> {
    let terraform = Terraform::new(provider())?;
    let engine = StubEngine::start(&terraform.path(""));
    Some((terraform, engine))
}

/// The road every user takes: a recommendation, judged, in reach of what scales by it.
fn web(engine: &StubEngine, provider: &str, data: &str, decision: &str) -> String {
    format!(
        r#"
provider "foreshadow" {{
  endpoint = "{}"
  {provider}
}}

data "foreshadow_recommendation" "web" {{
  workload = "checkout-web"
  horizon  = "2h"
  quantile = 0.95
  min      = 6
  max      = 80
  {data}
}}

resource "foreshadow_scaling_decision" "web" {{
  name       = "checkout-web"
  proposed   = data.foreshadow_recommendation.web.replicas
  schedule   = data.foreshadow_recommendation.web.schedule
  slot_start = data.foreshadow_recommendation.web.slot_start
  confidence = data.foreshadow_recommendation.web.confidence
  band       = {{ up = 0.05, down = 0.15 }}
  cooldown   = "30m"
  {decision}
}}

resource "terraform_data" "scaled" {{
  input = {{
    replicas = foreshadow_scaling_decision.web.replicas
    schedule = foreshadow_scaling_decision.web.schedule
  }}
}}
"#,
        engine.endpoint()
    )
}
