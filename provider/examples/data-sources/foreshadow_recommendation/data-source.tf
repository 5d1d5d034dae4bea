data "foreshadow_recommendation" "web" {
  workload = "checkout-web"
  horizon  = "2h"
  quantile = 0.95
  min      = 6
  max      = 80
  step     = 2
  fallback = { replicas = 24 }
}
