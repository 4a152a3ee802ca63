use super::*;
use crate::config;
use serde_json::Value;

fn place(login: &str) -> Place {
    let login: config::Login = serde_json::from_str(login).unwrap();
    Place::of(&login, "eu-west-1".to_owned()).unwrap()
}

/// The parts of a bearer token, as a server of Consul takes it apart.
fn taken_apart(bearer: &SecretString) -> (String, String, Value) {
    use secrecy::ExposeSecret;
    let token: Value = serde_json::from_str(bearer.expose_secret()).unwrap();
    assert_eq!(token["iam_http_request_method"], "POST");
    assert_eq!(token.as_object().unwrap().len(), 4);
    let part = |key: &str| {
        let bytes = BASE64_STANDARD.decode(token[key].as_str().unwrap()).unwrap();
        String::from_utf8(bytes).unwrap()
    };
    let headers = serde_json::from_str(&part("iam_request_headers")).unwrap();
    (part("iam_request_url"), part("iam_request_body"), headers)
}

fn made(login: &str, entity: Option<&Entity>) -> (String, String, Value) {
    let credentials = Credentials::new("AKID", "secret", Some("session".into()), None, "test");
    let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_800_000_000);
    taken_apart(&bearer(&place(login), &credentials, entity, at).unwrap())
}

fn names(headers: &Value) -> Vec<&str> {
    headers.as_object().unwrap().keys().map(String::as_str).collect()
}

/// The names of the headers that are signed.
fn signed(headers: &Value) -> String {
    let authorization = headers["Authorization"][0].as_str().unwrap();
    let (_, signed) = authorization.split_once("SignedHeaders=").unwrap();
    signed.split_once(',').unwrap().0.to_owned()
}

#[test]
fn without_the_role_it_is_one_request_with_what_consul_allows_in_it() {
    let (url, body, headers) = made(r#"{"method": "m"}"#, None);
    assert_eq!(url, "https://sts.eu-west-1.amazonaws.com/");
    assert_eq!(body, "Action=GetCallerIdentity&Version=2011-06-15");
    let expected = ["Authorization", "Content-Type", "X-Amz-Date", "X-Amz-Security-Token"];
    assert_eq!(names(&headers), expected);
    assert_eq!(signed(&headers), "content-type;host;x-amz-date;x-amz-security-token");
    assert!(headers.as_object().unwrap().values().all(|v| v.as_array().unwrap().len() == 1));
}

#[test]
fn with_the_role_a_second_signed_request_stands_in_the_headers() {
    let login = r#"{"method": "m", "serverIdHeader": "mesh.example.com"}"#;
    for (kind, name, form) in [
        (EntityKind::Role, "a+b", "Action=GetRole&RoleName=a%2Bb&Version=2010-05-08"),
        (EntityKind::User, "dev", "Action=GetUser&UserName=dev&Version=2010-05-08"),
    ] {
        let entity = Entity { kind, name: name.to_owned() };
        let (_, _, headers) = made(login, Some(&entity));
        let text = |name: &str| headers[name][0].as_str().unwrap().to_owned();
        assert_eq!(text("X-Consul-Iam-Getentity-Method"), "POST");
        assert_eq!(text("X-Consul-Iam-Getentity-Url"), "https://iam.amazonaws.com/");
        assert_eq!(text("X-Consul-Iam-Getentity-Body"), form);
        // Servers that want their name in it want it in both, and signed.
        let inner: Value = serde_json::from_str(&text("X-Consul-Iam-Getentity-Headers")).unwrap();
        for headers in [&headers, &inner] {
            assert_eq!(headers["X-Consul-Iam-Serverid"][0], "mesh.example.com");
            assert!(signed(headers).ends_with(";x-consul-iam-serverid"), "{headers}");
        }
        let of = |headers: &Value| headers["Authorization"][0].as_str().unwrap().to_owned();
        assert!(of(&headers).contains("/20270115/eu-west-1/sts/"), "{headers}");
        assert!(of(&inner).contains("/20270115/us-east-1/iam/"), "{inner}");
    }
}

#[test]
fn nothing_of_it_is_shown() {
    let credentials = Credentials::new("AKID", "secret", None, None, "test");
    let place = place(r#"{"method": "m"}"#);
    let token = bearer(&place, &credentials, None, SystemTime::UNIX_EPOCH).unwrap();
    assert!(!format!("{token:?}").contains("iam_"));
}
