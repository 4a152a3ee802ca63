//! `taskmesh check-config`.

use crate::*;

fn run(document: &Value, print: bool) -> (String, u8) {
    cli_check(&Sources::default(), print, &env([(OURS, &document.to_string())]))
}

#[test]
fn a_good_configuration_is_summed_up_with_its_stop_budget() {
    let mut document =
        minimal_with("/proxy/upstreams", json!([{"destinationName": "db", "localBindPort": 5432}]));
    document["service"]["name"] = json!("api");
    assert_eq!(
        run(&document, false),
        (
            "config ok: service api, port 9090 (tcp), upstreams db on 5432, health of the essential containers with a \
             health check, datacenter dc1 by 10.0.0.10\n\
             stop: 21s 500ms of stopTimeout 30s: propagation 5s + dwell 500ms + drain 10s + leave 5s + kill 1s; \
             8s 500ms left for the apps\n"
                .to_owned(),
            0
        )
    );
}

#[test]
fn the_printed_configuration_is_accepted_again_and_means_the_same() {
    let (output, code) = run(&minimal(), true);
    assert_eq!(code, 0);
    let printed = &output[output.find("\n{").unwrap()..];
    assert_eq!(load_text(printed).unwrap().config, load_value(&minimal()).unwrap().config);
}

#[test]
fn a_bad_configuration_prints_every_error_and_exits_64() {
    let (output, code) = run(&json!({"service": {"prt": 1}}), true);
    assert_eq!(code, 64);
    assert_eq!(
        output,
        "consul: required, but missing\nservice.prt: unknown key; did you mean \"port\"?\n"
    );
}
