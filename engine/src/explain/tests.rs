use foreshadow_models::live::Said;

use super::*;
use crate::issue::tests::{issue, shadow};

#[test]
fn a_series_is_found_by_a_part_of_its_name() {
    let names = ["cpu web-1", "cpu web-2", "cpu"];
    assert_eq!(find(&names, "web-2"), Ok(1));
    assert_eq!(find(&names, "cpu"), Ok(2), "a whole name is no part");
    let told = |wanted| {
        let unfound = find(&names, wanted).unwrap_err();
        format!("{unfound}; {}", unfound.help().unwrap())
    };
    assert_eq!(told("web"), "web may be any of 2 series; name one: cpu web-1, cpu web-2");
    assert_eq!(
        told("disk"),
        "no series is called disk, or has that in its name; there are 3 series: cpu web-1, cpu web-2, cpu"
    );
    let many: Vec<String> = (0..9).map(|n| format!("cpu {n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(find(&many, "cpu").unwrap_err().help().unwrap().to_string().ends_with("cpu 7, …"));
}

/// A track on which `theta` took over from `naive` and both erred since.
fn track() -> Track {
    let said = |cutoff_ms: i64, champion: &str| Said {
        cutoff_ms,
        times_ms: vec![cutoff_ms + 1_000, cutoff_ms + 2_000],
        champion: champion.into(),
        recommended: champion.into(),
        stand_in: "naive".into(),
        promised: Some(1.0),
        values: vec![("naive".into(), vec![4.0, 4.0]), ("theta".into(), vec![2.0, 2.0])],
        band: vec![(0.0, 5.0); 2],
        outside: (0.025, 0.025),
    };
    let mut track = Track::default();
    track.serve(said(0, "naive"));
    track.observe(1_000, 1_000, &[1.0, 1.0]);
    track.serve(said(2_000, "theta"));
    track
}

#[test]
fn an_issue_tells_what_it_served_and_what_came_of_it() {
    let shadow = shadow("cpu", 2_000, 1_000, &[2.0, 3.0], 4.0);
    let issue = issue(vec![shadow.clone()], 60_000);
    let told = Explanation::of_issue(&issue, &shadow, Some(&track()));
    for (family, (name, error)) in told.families.iter().zip([("theta", 1.0), ("naive", 3.0)]) {
        assert!(family.name == name && (family.error_live.unwrap() - error).abs() < 1e-12, "{family:?}");
    }
    assert_eq!((told.switches.len(), told.switches[0].to.as_str()), (1, "theta"));
    assert_eq!((told.mean.as_slice(), told.champion.as_str()), (&[2.0, 3.0][..], "snaive24"));
    let low = told.low95.as_ref().unwrap();
    assert!((low[0] - (2.0 - 4.0 * 0.475)).abs() < 1e-6);
    assert_eq!(told.held_out.as_ref().unwrap().folds, 3);
    let json = serde_json::to_value(&told).unwrap();
    assert_eq!((json["issue"].as_str(), json["followed"].as_bool()), (Some(issue.id()), Some(true)));
    assert!(json.get("seasons").is_none(), "a service has no samples");
    assert_eq!(serde_json::from_value::<Explanation>(json).unwrap(), told);
    let text = told.text();
    for expected in ["cpu", issue.id(), "served by snaive24", "3 folds", "1970-01-01T00:00:02Z naive → theta", "⠀"]
    {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    assert!(told.page().into_string().contains("shadow") && text.contains("–: nothing to compare"));
    let mut compared = told;
    compared.champion = "theta".into();
    assert!(!compared.text().contains("–: "), "{}", compared.text());
    compared.families[1].error_live = None;
    assert!(compared.text().contains("–: nothing to compare"));
}

#[test]
fn a_family_asked_for_by_name_is_not_followed() {
    let shadow = shadow("<b>&", 2_000, 1_000, &[2.0], 4.0);
    let told = Explanation::of_issue(&issue(vec![shadow.clone()], 60_000), &shadow, None);
    assert!(told.text().contains("No family is followed live") && !told.issued.as_ref().unwrap().followed);
    let page = told.page().into_string();
    assert!(page.contains("&lt;b&gt;&amp;") && !page.contains("<b>&"), "a name is text");
}
