terraform {
  required_providers {
    foreshadow = {
      source = "foreshadow/foreshadow"
    }
  }
}

provider "foreshadow" {
  endpoint = "unix:/run/foreshadow/engine.sock"
}
