//! Arguments and results of `foreshadow_scaling_decision`.

use crate::sdk::schema::{Attribute, Kind, Schema};
use crate::sdk::validate;

pub(super) fn schema() -> Schema {
    let (text, number) = (Kind::string, Kind::number);
    let schedule = vec![
        Attribute::required("start", text(), "RFC 3339 time.").check(validate::timestamp),
        Attribute::required("replicas", number(), "Capacity needed from then on.").check(validate::count),
    ];
    let band = vec![
        Attribute::optional("up", number(), "Relative rise that is still no reason to change, as `0.05`. Default `0`.")
            .check(validate::not_negative),
        Attribute::optional(
            "down",
            number(),
            "Relative fall that is still no reason to change, as `0.15`. Default `0`.",
        )
        .check(validate::share),
    ];
    let fallback = vec![
        Attribute::required("replicas", number(), "Capacity of a first decision whose proposal is not trusted.")
            .check(validate::count),
    ];
    let attributes = vec![
        Attribute::required("name", text(), "Name of the decision in the engine's ledger; a change makes a new one.")
            .check(validate::not_blank),
        Attribute::required("proposed", number(), "Capacity proposed: `replicas` of a `foreshadow_recommendation`.")
            .check(validate::count),
        Attribute::required(
            "slot_start",
            text(),
            "Start of the slot the proposal belongs to, as RFC 3339. A slot is decided once.",
        )
        .check(validate::timestamp),
        Attribute::optional(
            "schedule",
            Kind::List(schedule),
            "Schedule of the recommendation, kept with the decision it came with.",
        ),
        Attribute::optional("confidence", number(), "Confidence of the recommendation, in [0, 1].")
            .check(validate::share),
        Attribute::optional(
            "band",
            Kind::Single(band),
            "How far a proposal may lie from the capacity that stands and change nothing.",
        ),
        Attribute::optional("cooldown", text(), "Time between two decisions, as `\"30m\"`, counted from slot to slot.")
            .check(validate::duration),
        Attribute::optional(
            "min_confidence",
            number(),
            "Confidence below which a proposal is not followed, in [0, 1].",
        )
        .check(validate::share),
        Attribute::optional("max_step", number(), "Most that one decision may change.").check(validate::positive_count),
        Attribute::optional(
            "fallback",
            Kind::Single(fallback),
            "First decision of a name whose proposal is below `min_confidence`; later ones hold what stands.",
        ),
        Attribute::computed("id", text(), "The name."),
        Attribute::computed("replicas", number(), "The capacity that stands. Scale by this."),
        Attribute::computed("decided_slot", text(), "Slot in which it was decided."),
        Attribute::computed("reason", text(), "Why."),
    ];
    Schema {
        version: 0,
        description: "Judges a recommendation and keeps what it decided. Inside `band`, within `cooldown` or below `min_confidence` the decision holds and a plan is empty, however much the forecast wavers; otherwise the plan shows the new capacity with its reason, and applying it writes the decision into the engine's ledger, once for a name and a slot. An operator's entry in the ledger is found by a refresh.",
        attributes,
    }
}
