//! A signed request to AWS that somebody else sends.

use crate::logging::wall_clock;
use aws_sdk_sts::config::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use reqwest::Url;
use std::collections::BTreeMap;
use std::time::SystemTime;

/// The parts of a POST, and the headers under which the signature stands. `Host` is none of them: it is the URL's, and
/// the signature counts only there. Not `Debug`: it is a proof, with the session's token in it.
pub(super) struct Signed {
    pub(super) url: String,
    pub(super) headers: Headers,
    pub(super) body: String,
}

/// Each as Go spells it: Consul looks them up as they stand in the bearer token.
pub(super) type Headers = BTreeMap<String, [String; 1]>;

/// What to sign with, and where it counts.
pub(super) struct Signer<'a> {
    pub(super) credentials: &'a Credentials,
    /// `sts` or `iam`.
    pub(super) service: &'a str,
    pub(super) region: &'a str,
}

impl Signer<'_> {
    /// Signs a form for `url` with these headers. AWS takes it for 15 minutes from `at` on.
    pub(super) fn sign(
        &self,
        url: &Url,
        more: Headers,
        body: String,
        at: SystemTime,
    ) -> Result<Signed, String> {
        let mut headers = more;
        let form = "application/x-www-form-urlencoded; charset=utf-8";
        headers.insert("Content-Type".to_owned(), [form.to_owned()]);
        let identity = self.credentials.clone().into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name(self.service)
            .time(at)
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| error.to_string())?;
        let given = headers.iter().map(|(name, [value])| (name.as_str(), value.as_str()));
        let body_bytes = SignableBody::Bytes(body.as_bytes());
        let request = SignableRequest::new("POST", url.as_str(), given, body_bytes);
        let signature = request.and_then(|request| sign(request, &params.into()));
        let (instructions, _) = signature.map_err(|error| error.to_string())?.into_parts();
        let added: Vec<_> = instructions
            .headers()
            .map(|(name, value)| (canonical(name), [value.to_owned()]))
            .collect();
        headers.extend(added);
        Ok(Signed { url: url.to_string(), headers, body })
    }
}

/// A header's name as Go writes it: `X-Amz-Date`.
pub(super) fn canonical(name: &str) -> String {
    let parts = name.split('-').map(|part| {
        let (first, rest) = part.split_at(part.len().min(1));
        first.to_ascii_uppercase() + &rest.to_ascii_lowercase()
    });
    parts.collect::<Vec<_>>().join("-")
}

/// A form's text.
pub(super) fn form(fields: &[(&str, &str)]) -> String {
    // A URL's query is one; the rest of it is thrown away.
    let url = Url::parse_with_params("http://form", fields);
    url.ok().and_then(|url| url.query().map(str::to_owned)).unwrap_or_default()
}

/// The time of day decides here, for AWS compares it with its own.
pub(super) fn now() -> SystemTime {
    wall_clock().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_forms_are_written_as_go_writes_them() {
        for (name, written) in [
            ("x-amz-date", "X-Amz-Date"),
            ("X-Consul-IAM-GetEntity-URL", "X-Consul-Iam-Getentity-Url"),
            ("authorization", "Authorization"),
            ("", ""),
        ] {
            assert_eq!(canonical(name), written);
        }
        let form = form(&[("Action", "GetRole"), ("RoleName", "a+b=c,d.e@f-g_h")]);
        assert_eq!(form, "Action=GetRole&RoleName=a%2Bb%3Dc%2Cd.e%40f-g_h");
    }

    #[test]
    fn every_header_and_the_host_are_signed() {
        let credentials = Credentials::new("AKID", "secret", Some("session".into()), None, "test");
        let signer = Signer { credentials: &credentials, service: "sts", region: "eu-west-1" };
        let url = Url::parse("https://sts.eu-west-1.amazonaws.com").unwrap();
        let more = Headers::from([("X-Consul-Iam-Serverid".to_owned(), ["mesh".to_owned()])]);
        let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_800_000_000);
        let Ok(signed) = signer.sign(&url, more, "Action=A".to_owned(), at) else { panic!() };
        assert_eq!(signed.url, "https://sts.eu-west-1.amazonaws.com/");
        assert_eq!(signed.headers["X-Amz-Date"], ["20270115T080000Z"]);
        assert_eq!(signed.headers["X-Amz-Security-Token"], ["session"]);
        let [authorization] = &signed.headers["Authorization"];
        let begins = "AWS4-HMAC-SHA256 Credential=AKID/20270115/eu-west-1/sts/aws4_request, SignedHeaders=\
                      content-type;host;x-amz-date;x-amz-security-token;x-consul-iam-serverid, Signature=";
        assert!(authorization.starts_with(begins), "{authorization}");
        assert!(!signed.headers.contains_key("Host"));
    }
}
