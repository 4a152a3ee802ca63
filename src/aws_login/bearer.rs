//! The proof that Consul's `aws-iam` auth methods take: a request to STS that says who signed it, and in its headers,
//! where wanted, one to IAM that reads that role. Consul sends both; we never show it a key.
//!
//! The form is that of the Go module `hashicorp/consul-awsauth`, which Consul's servers check it with:
//!
//! | key | what |
//! |---|---|
//! | `iam_http_request_method` | POST |
//! | `iam_request_url`, `iam_request_body` | base64; no query: it would count more than the body |
//! | `iam_request_headers` | base64 of a JSON object, each value a list of one |

use super::entity::{Entity, EntityKind};
use super::place::Place;
use super::request::{Headers, Signed, Signer, canonical, form};
use aws_sdk_sts::config::Credentials;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use secrecy::SecretString;
use serde_json::json;
use std::time::SystemTime;

const SERVER_ID: &str = "X-Consul-IAM-ServerID";
const ENTITY: &str = "X-Consul-IAM-GetEntity-";

/// Makes the proof of who `credentials` are, which is good for 15 minutes; `entity` is whom to read, where wanted.
pub(super) fn bearer(
    place: &Place,
    credentials: &Credentials,
    entity: Option<&Entity>,
    at: SystemTime,
) -> Result<SecretString, String> {
    let mut headers = Headers::new();
    if let Some(entity) = entity {
        let inner = get_entity(place, credentials, entity, at)?;
        let json = serde_json::to_string(&inner.headers).map_err(|error| error.to_string())?;
        for (name, value) in [
            ("Method", "POST".to_owned()),
            ("URL", inner.url),
            ("Headers", json),
            ("Body", inner.body),
        ] {
            headers.insert(canonical(&format!("{ENTITY}{name}")), [value]);
        }
    }
    server_id(place, &mut headers);
    let body = form(&[("Action", "GetCallerIdentity"), ("Version", "2011-06-15")]);
    let signer = Signer { credentials, service: "sts", region: &place.region };
    let signed = signer.sign(&place.sts, headers, body, at)?;
    let headers = serde_json::to_string(&signed.headers).map_err(|error| error.to_string())?;
    let token = json!({
        "iam_http_request_method": "POST",
        "iam_request_url": BASE64_STANDARD.encode(&signed.url),
        "iam_request_body": BASE64_STANDARD.encode(&signed.body),
        "iam_request_headers": BASE64_STANDARD.encode(&headers),
    });
    Ok(token.to_string().into())
}

fn get_entity(
    place: &Place,
    credentials: &Credentials,
    entity: &Entity,
    at: SystemTime,
) -> Result<Signed, String> {
    let mut headers = Headers::new();
    server_id(place, &mut headers);
    let (action, field) = match entity.kind {
        EntityKind::Role => ("GetRole", "RoleName"),
        EntityKind::User => ("GetUser", "UserName"),
    };
    let body = form(&[("Action", action), (field, &entity.name), ("Version", "2010-05-08")]);
    let signer = Signer { credentials, service: "iam", region: place.iam_region };
    signer.sign(&place.iam, headers, body, at)
}

fn server_id(place: &Place, headers: &mut Headers) {
    if let Some(value) = &place.server_id {
        headers.insert(canonical(SERVER_ID), [value.clone()]);
    }
}

#[cfg(test)]
#[path = "bearer_tests.rs"]
mod tests;
