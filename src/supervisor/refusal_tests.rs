use super::*;

fn ids() -> ServiceIds {
    ServiceIds {
        name: "api".to_owned(),
        proxy_name: "api-sidecar-proxy".to_owned(),
        ..ServiceIds::default()
    }
}

fn status(status: u16, body: &str) -> Error {
    Error::Status { call: "agent/service/register", status, body: body.to_owned() }
}

fn judged(call: Call, error: &Error, joined: bool, refusals: u32) -> (Verdict, String) {
    judge(&Failed { call, error, joined, refusals }, &ids())
}

#[test]
fn each_answer_has_its_verdict() {
    use Verdict::*;
    let unreachable = Error::Unreachable { call: "x", why: "refused".to_owned() };
    let late = Error::Timeout { call: "x", after: Duration::from_secs(2) };
    let table = [
        (unreachable, true, Retry),
        (late, true, Retry),
        (status(500, "No known Consul servers"), true, Retry),
        (status(503, ""), true, Retry),
        (status(429, "rate limit"), true, Retry),
        (status(408, ""), true, Retry),
        (status(404, "ServiceID \"api-1\" does not exist"), true, Retry),
        (status(403, "Permission denied"), false, AwaitJoin),
        (status(403, "ACL not found"), false, AwaitJoin),
        (status(403, "Permission denied"), true, AwaitToken),
        (status(401, "ACL support disabled"), true, AwaitToken),
        (status(403, "rpc error making call: ACL not found"), true, AwaitToken),
        (status(400, "Invalid Service Meta: .."), true, Doubt),
        (status(400, "Invalid Service Meta: .."), false, Doubt),
        (status(413, ""), true, Doubt),
        (status(500, "Scripts are disabled on this agent; to enable, .."), true, Doubt),
    ];
    for (error, joined, expected) in table {
        assert_eq!(judged(Call::Service, &error, joined, 0).0, expected, "{error} {joined}");
    }
}

#[test]
fn a_refusal_stands_only_after_some_seconds() {
    let error = status(400, "bad");
    let verdicts: Vec<_> =
        (0..REFUSALS + 1).map(|n| judged(Call::Service, &error, true, n).0).collect();
    use Verdict::{Doubt, Refused};
    assert_eq!(verdicts, [Doubt, Doubt, Doubt, Refused, Refused]);
    let before: Duration = verdicts[..3].iter().filter_map(|verdict| verdict.pause()).sum();
    assert!(before >= Duration::from_secs(3), "{before:?}");
    assert!(Refused.pause() >= Some(Duration::from_secs(30)));
}

#[test]
fn the_sentence_says_which_body_which_right_and_what_consul_said() {
    for (call, error, joined, sentence) in [
        (
            Call::Service,
            status(403, "Permission denied"),
            true,
            r#"registration of the service "api": the token needs service:write on "api" (Consul: status 403: Permission denied)"#,
        ),
        (
            Call::Proxy,
            status(403, "Permission denied"),
            true,
            r#"registration of the proxy "api-sidecar-proxy": the token needs service:write on "api-sidecar-proxy" and on "api" (Consul: status 403: Permission denied)"#,
        ),
        (
            Call::ListenerCheck,
            status(403, "Permission denied"),
            true,
            r#"check of the proxy "api-sidecar-proxy": the token needs service:write on "api-sidecar-proxy" (Consul: status 403: Permission denied)"#,
        ),
        (
            Call::Service,
            status(403, "ACL not found"),
            true,
            r#"registration of the service "api": Consul does not know the token: it was deleted, or has not been replicated yet (Consul: status 403: ACL not found)"#,
        ),
        (
            Call::Service,
            status(403, "Permission denied"),
            false,
            r#"registration of the service "api": waiting for the agent to join, before which it knows no token (Consul: status 403: Permission denied)"#,
        ),
        (
            Call::Proxy,
            status(400, "Validation failed: x\n"),
            true,
            r#"registration of the proxy "api-sidecar-proxy": refused (Consul: status 400: Validation failed: x)"#,
        ),
    ] {
        assert_eq!(judged(call, &error, joined, 0).1, sentence);
    }
}
