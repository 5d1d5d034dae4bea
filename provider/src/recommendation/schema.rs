//! Arguments and results of `foreshadow_recommendation`.

use crate::sdk::schema::{Attribute, Kind, Schema};
use crate::sdk::validate;
use crate::sdk::value::Type;

pub(super) fn schema() -> Schema {
    let (text, number) = (Kind::string, Kind::number);
    let fallback = vec![
        Attribute::required("replicas", number(), "Capacity to take while the engine is unavailable.")
            .check(validate::count),
    ];
    let mut attributes = vec![
        Attribute::required("workload", text(), "Name of a workload in the engine's configuration.")
            .check(validate::not_blank),
        Attribute::optional(
            "quantile",
            number(),
            "Quantile of demand to provide for, from the median up to the highest the engine keeps (0.975). Default: the workload's own.",
        )
        .check(validate::probability),
        Attribute::optional(
            "horizon",
            text(),
            "How far ahead demand is covered, as `\"2h\"`. Default: one slot and the workload's lead time.",
        )
        .check(validate::duration),
        Attribute::optional("min", number(), "Least capacity to recommend. Default: the workload's own.")
            .check(validate::count),
        Attribute::optional("max", number(), "Most capacity to recommend. Default: the workload's own.")
            .check(validate::count),
        Attribute::optional("step", number(), "Capacity comes in multiples of this. Default: the workload's own.")
            .check(validate::positive_count),
        Attribute::optional(
            "target_utilization",
            number(),
            "Share of a unit's capacity to load, in (0, 1]. Default: the workload's own.",
        )
        .check(validate::positive_share),
        Attribute::optional(
            "fallback",
            Kind::Single(fallback),
            "Stands in, with a warning, for an engine that does not answer. Set it wherever a destroy must work without the engine.",
        ),
    ];
    attributes.extend(results());
    Schema {
        version: 0,
        description: "Capacity one workload needs: the engine's current forecast of its demand, held against what one unit carries. The answer is read once and frozen in the plan, and two reads within a slot agree. Hand it to a `foreshadow_scaling_decision` rather than to what it scales: the decision keeps a plan empty while the forecast only wavers.",
        attributes,
    }
}

fn results() -> Vec<Attribute> {
    let (text, number) = (Kind::string, Kind::number);
    let schedule = vec![
        Attribute::computed("start", text(), "RFC 3339 time."),
        Attribute::computed("replicas", number(), "Capacity needed from then on."),
    ];
    let evidence = vec![
        Attribute::computed("model", text(), "Method behind the forecast."),
        Attribute::computed("coverage", number(), "Share of held-out values inside the forecast's 95 % band."),
        Attribute::computed("cutoff", text(), "Time of the last observation behind the forecast."),
        Attribute::computed("peak_demand", number(), "Highest demand of the quantile over the horizon."),
        Attribute::computed("peak_at", text(), "When it comes."),
        Attribute::computed("unit_capacity", number(), "Demand that one unit carries."),
        Attribute::computed("target_utilization", number(), "Share of a unit's capacity that was to be loaded."),
        Attribute::computed("quantile", number(), "Quantile of demand that was provided for."),
        Attribute::computed(
            "drivers",
            Kind::Plain(Type::List(Box::new(Type::String))),
            "Series the demand was read from.",
        ),
    ];
    vec![
        Attribute::computed("replicas", number(), "Recommended capacity, bounded and stepped."),
        Attribute::computed("source", text(), "`forecast`, or `fallback` while the engine is unavailable."),
        Attribute::computed(
            "schedule",
            Kind::List(schedule),
            "Capacity over the horizon, one entry for each change; empty for a fallback.",
        ),
        Attribute::computed(
            "confidence",
            number(),
            "Share of held-out values that stayed at or under the quantile, in [0, 1]; 0 for a fallback.",
        ),
        Attribute::computed("slot_start", text(), "Start of the decision slot, as RFC 3339."),
        Attribute::computed("slot_seconds", number(), "Length of the decision slot."),
        Attribute::computed("issue_id", text(), "Issue the answer was read from; null for a fallback."),
        Attribute::computed(
            "stale",
            Kind::Plain(Type::Bool),
            "Whether a refresh was missed: the issue's slot lies more than one slot back.",
        ),
        Attribute::computed(
            "evidence",
            Kind::Single(evidence),
            "What the recommendation rests on; null for a fallback.",
        ),
    ]
}
