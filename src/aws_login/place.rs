//! Where the requests of a login are sent to, and for which region they are signed.

use crate::config;
use reqwest::Url;

/// The endpoints of a login.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) sts: Url,
    pub(super) region: String,
    pub(super) iam: Url,
    /// IAM has one region in each part of AWS.
    pub(super) iam_region: &'static str,
    pub(super) server_id: Option<String>,
}

impl Place {
    /// By the configuration, and for the rest by the task's region.
    pub(super) fn of(login: &config::Login, region: String) -> Result<Self, String> {
        let region = login.region.clone().unwrap_or(region);
        if region.is_empty() {
            return Err("no region: set consul.login.region".to_owned());
        }
        let (domain, iam, iam_region) = match region.as_str() {
            cn if cn.starts_with("cn-") => {
                ("amazonaws.com.cn", "https://iam.cn-north-1.amazonaws.com.cn", "cn-north-1")
            }
            gov if gov.starts_with("us-gov-") => {
                ("amazonaws.com", "https://iam.us-gov.amazonaws.com", "us-gov-west-1")
            }
            _ => ("amazonaws.com", "https://iam.amazonaws.com", "us-east-1"),
        };
        let sts = login.sts_endpoint.clone();
        let sts = sts.unwrap_or_else(|| format!("https://sts.{region}.{domain}"));
        let url = |text: &str| Url::parse(text).map_err(|error| format!("{text:?}: {error}"));
        Ok(Self {
            sts: url(&sts)?,
            iam: url(login.iam_endpoint.as_deref().unwrap_or(iam))?,
            region,
            iam_region,
            server_id: login.server_id_header.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn place(login: Value, region: &str) -> [String; 4] {
        let login = serde_json::from_value(login).unwrap();
        let place = Place::of(&login, region.to_owned()).unwrap();
        [place.sts.into(), place.region, place.iam.into(), place.iam_region.into()]
    }

    #[test]
    fn the_endpoints_are_the_regions_unless_said_otherwise() {
        let least = json!({ "method": "m" });
        let global = "https://iam.amazonaws.com/";
        for (region, sts, iam, iam_region) in [
            ("eu-west-1", "https://sts.eu-west-1.amazonaws.com/", global, "us-east-1"),
            (
                "cn-northwest-1",
                "https://sts.cn-northwest-1.amazonaws.com.cn/",
                "https://iam.cn-north-1.amazonaws.com.cn/",
                "cn-north-1",
            ),
            (
                "us-gov-east-1",
                "https://sts.us-gov-east-1.amazonaws.com/",
                "https://iam.us-gov.amazonaws.com/",
                "us-gov-west-1",
            ),
        ] {
            assert_eq!(place(least.clone(), region), [sts, region, iam, iam_region]);
        }
        let own = json!({
            "method": "m", "region": "eu-west-2", "stsEndpoint": "https://sts.example.com:8443/sts",
            "iamEndpoint": "https://iam.example.com",
        });
        assert_eq!(
            place(own, "us-east-1"),
            [
                "https://sts.example.com:8443/sts",
                "eu-west-2",
                "https://iam.example.com/",
                "us-east-1"
            ]
        );
        let login = serde_json::from_value(least).unwrap();
        assert!(Place::of(&login, String::new()).is_err());
    }
}
