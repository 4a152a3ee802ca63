//! Where a configuration comes from.

use crate::*;

#[test]
fn nothing_given_says_how_to_give_it() {
    let errors = load(&Sources::default(), &env([])).unwrap_err();
    assert_eq!(
        lines(&errors),
        ["configuration: none is given: use --config FILE, or set TASKMESH_CONFIG_JSON"]
    );
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let errors = load(&Sources::default(), &env([(OURS, " "), (LEGACY, "")])).unwrap_err();
    assert!(errors.to_string().contains("none is given"), "{errors}");
}

#[test]
fn the_file_wins_over_the_variable_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mesh.json");
    std::fs::write(&file, minimal().to_string()).unwrap();
    let loaded = load(&Sources { file: Some(file) }, &env([(OURS, "not even JSON")])).unwrap();
    assert_eq!(loaded.config.service.port, Some(9090));
    assert_eq!(loaded.warnings, ["TASKMESH_CONFIG_JSON is ignored: --config is given"]);
}

#[test]
fn a_missing_file_is_named() {
    let errors = load(&Sources { file: Some("/nowhere/mesh.json".into()) }, &env([])).unwrap_err();
    assert_eq!(lines(&errors), ["/nowhere/mesh.json: No such file or directory (os error 2)"]);
}

#[test]
fn a_slip_in_the_json_is_named_with_line_and_column() {
    let errors = load_text("{\n  \"service\": {\"port\": 1}\n  \"consul\": {}\n}").unwrap_err();
    assert_eq!(
        lines(&errors),
        ["TASKMESH_CONFIG_JSON: not JSON: expected `,` or `}` at line 3 column 3"]
    );
}

#[test]
fn a_document_that_is_no_object_is_an_error() {
    assert_eq!(errors_of(&json!([1])), ["(document): must be an object, not a list"]);
    assert_eq!(errors_of(&json!(null)), ["(document): must be an object, not null"]);
}

#[test]
fn a_key_that_stands_twice_is_an_error() {
    let text = r#"{"service": {"port": 1, "port": 2}, "consul": {"retryJoin": ["a"]}}"#;
    assert_eq!(
        lines(&load_text(text).unwrap_err()),
        ["service.port: stands twice in the same object"]
    );
}
