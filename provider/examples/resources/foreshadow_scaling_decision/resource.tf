data "foreshadow_recommendation" "web" {
  workload = "checkout-web"
  fallback = { replicas = 24 }
}

resource "foreshadow_scaling_decision" "web" {
  name       = "checkout-web"
  proposed   = data.foreshadow_recommendation.web.replicas
  slot_start = data.foreshadow_recommendation.web.slot_start
  confidence = data.foreshadow_recommendation.web.confidence

  band     = { up = 0.05, down = 0.15 }
  cooldown = "30m"
  max_step = 20

  lifecycle {
    precondition {
      condition     = timecmp(timestamp(), timeadd(data.foreshadow_recommendation.web.slot_start, "1h")) < 0
      error_message = "The decision slot of this plan has closed; plan again."
    }
  }
}

# What scales reads the decision alone: a floor, with the live count left to the autoscaler.
output "min_size" {
  value = foreshadow_scaling_decision.web.replicas
}
