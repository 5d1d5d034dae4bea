//! The documents are made from the schema that terraform itself reports, the templates and the
//! examples; a page that says anything else is a failure. `FORESHADOW_WRITE_DOCS=1` writes them anew.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::provider;
use crate::support::terraform::Terraform;

fn folder(path: &str) -> PathBuf {
    // As it is told when run: a build cache that several clones share holds the path of the one that built last.
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from).join(path)
}

fn text(path: &str) -> String {
    fs::read_to_string(folder(path)).unwrap_or_else(|fault| panic!("{path}: {fault}"))
}

/// A page to be: its file, its title, its schema, and the examples it shows.
struct Page<'a> {
    file: String,
    title: String,
    schema: &'a Value,
    example: String,
    import: Option<String>,
}

#[test]
fn every_page_says_what_the_schema_says() {
    let Some(terraform) = Terraform::new(provider()) else { return };
    terraform.write("provider \"foreshadow\" {}\n");
    let report: Value =
        serde_json::from_str(&terraform.run(&["providers", "schema", "-json"]).expect(0).output).unwrap();
    let ours = &report["provider_schemas"]["registry.terraform.io/foreshadow/foreshadow"];
    let mut pages = vec![Page {
        file: "index.md".to_owned(),
        title: "foreshadow Provider".to_owned(),
        schema: &ours["provider"],
        example: text("examples/provider/provider.tf"),
        import: None,
    }];
    for (kind, key, example, word) in [
        ("data-sources", "data_source_schemas", "data-source.tf", "Data Source"),
        ("resources", "resource_schemas", "resource.tf", "Resource"),
    ] {
        for (name, schema) in ours[key].as_object().unwrap() {
            pages.push(Page {
                file: format!("{kind}/{}.md", name.strip_prefix("foreshadow_").unwrap()),
                title: format!("{name} ({word})"),
                schema,
                example: text(&format!("examples/{kind}/{name}/{example}")),
                import: (kind == "resources").then(|| text(&format!("examples/{kind}/{name}/import.sh"))),
            });
        }
    }
    assert_eq!(pages.len(), 3);
    for page in pages {
        let rendered = render(&page);
        let file = folder("docs").join(&page.file);
        if std::env::var("FORESHADOW_WRITE_DOCS").as_deref() == Ok("1") {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, &rendered).unwrap();
        }
        assert_eq!(
            fs::read_to_string(&file).unwrap_or_default(),
            rendered,
            "{} is not what the schema makes",
            page.file
        );
    }
}

#[test]
fn every_example_is_valid_and_formatted() {
    let Some(terraform) = Terraform::new(provider()) else { return };
    let provider_block = text("examples/provider/provider.tf");
    for example in [
        "examples/data-sources/foreshadow_recommendation/data-source.tf",
        "examples/resources/foreshadow_scaling_decision/resource.tf",
    ] {
        let body = text(example);
        fs::write(terraform.path("work/main.tf"), format!("{provider_block}\n{body}")).unwrap();
        if !terraform.path("data").exists() {
            terraform.run(&["init"]).expect(0);
        }
        terraform.run(&["validate", "-no-color"]).expect(0).says("Success! The configuration is valid.");
        terraform.run(&["fmt", "-check", "-diff", "-no-color"]).expect(0);
    }
}

fn render(page: &Page<'_>) -> String {
    let block = &page.schema["block"];
    let description = block["description"].as_str().unwrap();
    let mut out = format!(
        "---\npage_title: \"{}\"\ndescription: |-\n  {description}\n---\n\n# {}\n\n{description}\n\n## Example Usage\n\n```terraform\n{}```\n",
        page.title, page.title, page.example
    );
    let template = folder("templates").join(&page.file);
    if let Ok(prose) = fs::read_to_string(template) {
        write!(out, "\n{prose}").unwrap();
    }
    out += "\n## Schema\n";
    let mut nested = Vec::new();
    attributes(&mut out, block["attributes"].as_object().unwrap(), "", &mut nested);
    while let Some((path, inner)) = nested.pop() {
        write!(out, "\n<a id=\"nestedatt--{}\"></a>\n### Nested Schema for `{path}`\n", path.replace('.', "--"))
            .unwrap();
        attributes(&mut out, inner, &path, &mut nested);
    }
    if let Some(import) = &page.import {
        write!(out, "\n## Import\n\n```shell\n{import}```\n").unwrap();
    }
    out
}

type Attributes = Map<String, Value>;

fn attributes<'a>(out: &mut String, all: &'a Attributes, path: &str, nested: &mut Vec<(String, &'a Attributes)>) {
    for (heading, flag) in [("Required", "required"), ("Optional", "optional"), ("Read-Only", "computed")] {
        let chosen: Vec<_> = all.iter().filter(|(_, attribute)| attribute[flag] == true).collect();
        if chosen.is_empty() {
            continue;
        }
        let level = if path.is_empty() { "###" } else { "####" };
        write!(out, "\n{level} {heading}\n\n").unwrap();
        for (name, attribute) in chosen {
            let description = attribute["description"].as_str().unwrap_or_else(|| panic!("{name} is not described"));
            assert!(!description.is_empty(), "{name} is not described");
            let full = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let inner = attribute["nested_type"]["attributes"].as_object();
            let link = inner.map_or(String::new(), |_| {
                format!(" (see [below for nested schema](#nestedatt--{}))", full.replace('.', "--"))
            });
            writeln!(out, "- `{name}` ({}) {description}{link}", kind(attribute)).unwrap();
            nested.extend(inner.map(|inner| (full, inner)));
        }
    }
}

fn kind(attribute: &Value) -> String {
    let nested = &attribute["nested_type"];
    match (nested["nesting_mode"].as_str(), &attribute["type"]) {
        (Some("single"), _) => "Attributes".to_owned(),
        (Some(mode), _) => format!("Attributes {}", capital(mode)),
        (None, Value::String(name)) => capital(name),
        (None, Value::Array(parts)) => match &parts[1] {
            Value::String(item) => format!("{} of {}", capital(parts[0].as_str().unwrap()), capital(item)),
            _ => format!("{} of Object", capital(parts[0].as_str().unwrap())),
        },
        (None, other) => panic!("no name for the type {other}"),
    }
}

fn capital(word: &str) -> String {
    word[..1].to_uppercase() + &word[1..]
}
