# By the decision's name in the engine's ledger.
terraform import foreshadow_scaling_decision.web checkout-web
