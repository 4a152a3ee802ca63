//! ACL policies and tokens, for the controller (<https://developer.hashicorp.com/consul/api-docs/acl>).

use super::Result;
use super::client::{Client, decode, found, success};
use crate::wire::null_as_default;
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

/// A policy, as lists have it: without its rules.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AclPolicy {
    /// Made by Consul.
    #[serde(rename = "ID")]
    pub id: String,
    /// Unique in its namespace.
    pub name: String,
    /// For people, and for controllers.
    #[serde(deserialize_with = "null_as_default")]
    pub description: String,
    /// Another one where anything of it has changed.
    #[serde(deserialize_with = "null_as_default")]
    pub hash: String,
    /// HCL or JSON; empty in lists.
    #[serde(deserialize_with = "null_as_default")]
    pub rules: String,
}

/// A token, as lists have it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AclToken {
    /// Its public name.
    #[serde(rename = "AccessorID")]
    pub accessor: String,
    /// For people, and for controllers.
    #[serde(deserialize_with = "null_as_default")]
    pub description: String,
    /// What it is linked to.
    #[serde(deserialize_with = "null_as_default")]
    pub policies: Vec<AclLink>,
    /// Another one where anything of it has changed.
    #[serde(deserialize_with = "null_as_default")]
    pub hash: String,
}

/// A policy by which a token has rights.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AclLink {
    /// The policy's ID.
    #[serde(rename = "ID")]
    pub id: String,
    /// Its name.
    pub name: String,
}

impl Client {
    /// `acl/policies`: all of the namespace, without their rules.
    ///
    /// # Errors
    /// All of [`Error`](super::Error); 403 without `acl:read`.
    pub async fn acl_policies(&self) -> Result<Vec<AclPolicy>> {
        self.get("acl/policies", None).await
    }

    /// `acl/policy/<id>`: one policy with its rules; `None` if there is none.
    ///
    /// # Errors
    /// All of [`Error`](super::Error), but no "not found".
    pub async fn acl_policy(&self, id: &str) -> Result<Option<AclPolicy>> {
        gone(self.get("acl/policy", Some(id)).await)
    }

    /// `acl/policy`: makes a policy.
    ///
    /// # Errors
    /// All of [`Error`](super::Error); [`Error::is_taken`](super::Error::is_taken) where there is one of this name.
    pub async fn acl_create_policy(
        &self,
        name: &str,
        about: &str,
        rules: &str,
    ) -> Result<AclPolicy> {
        const CALL: &str = "acl/policy";
        let body = json!({ "Name": name, "Description": about, "Rules": rules });
        let request = self.scoped(Method::PUT, CALL, None).json(&body);
        decode(CALL, &success(CALL, self.exchange(CALL, request).await?)?)
    }

    /// `acl/policy/<id>`: gives a policy other rules, and leaves the rest of it as it is.
    ///
    /// # Errors
    /// All of [`Error`](super::Error).
    pub async fn acl_set_rules(&self, id: &str, rules: &str) -> Result<()> {
        self.change("acl/policy", id, |policy| policy["Rules"] = json!(rules)).await
    }

    /// `acl/policy/<id>`: removes a policy; tokens lose it. One that is gone already is no error.
    ///
    /// # Errors
    /// All of [`Error`](super::Error), but no "not found".
    pub async fn acl_delete_policy(&self, id: &str) -> Result<()> {
        self.delete("acl/policy", id).await
    }

    /// `acl/tokens`: all of the namespace.
    ///
    /// # Errors
    /// All of [`Error`](super::Error); 403 without `acl:read`.
    pub async fn acl_tokens(&self) -> Result<Vec<AclToken>> {
        self.get("acl/tokens", None).await
    }

    /// `acl/token/<accessor>`: the token itself; `None` if there is none.
    ///
    /// # Errors
    /// All of [`Error`](super::Error), but no "not found"; 403 without `acl:write`, for it can be used.
    pub async fn acl_token_secret(&self, accessor: &str) -> Result<Option<SecretString>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Whole {
            #[serde(rename = "SecretID")]
            secret: SecretString,
        }
        let whole: Option<Whole> = gone(self.get("acl/token", Some(accessor)).await)?;
        Ok(whole.map(|token| token.secret))
    }

    /// `acl/token/self`: whether the servers know this token. An agent passes the question on, and does not keep the
    /// answer, as it keeps what a call with a token has taught it.
    ///
    /// # Errors
    /// All of [`Error`](super::Error), but no "not found"; 401 where there are no ACLs.
    pub async fn acl_knows(&self, token: &SecretString) -> Result<bool> {
        let own: Result<Value> =
            self.with_token(Some(token.clone()))?.get("acl/token", Some("self")).await;
        match own {
            Ok(_) => Ok(true),
            Err(error) if error.is_unknown_token() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// `acl/token`: makes a token with these two ids.
    ///
    /// # Errors
    /// All of [`Error`](super::Error); [`Error::is_taken`](super::Error::is_taken) where one of the ids is in use.
    pub async fn acl_create_token(
        &self,
        accessor: &str,
        token: &SecretString,
        about: &str,
        policies: &[String],
    ) -> Result<()> {
        const CALL: &str = "acl/token";
        let links: Vec<_> = policies.iter().map(|name| json!({ "Name": name })).collect();
        let body = json!({
            "AccessorID": accessor, "SecretID": token.expose_secret(), "Description": about,
            "Policies": links,
        });
        self.done(CALL, self.scoped(Method::PUT, CALL, None).json(&body)).await
    }

    /// `acl/token/<accessor>`: links a token to these policies besides those that it has, and leaves the rest of it as it
    /// is.
    ///
    /// # Errors
    /// All of [`Error`](super::Error).
    pub async fn acl_link_token(&self, accessor: &str, policies: &[String]) -> Result<()> {
        let link = |token: &mut Value| {
            let mut links = token["Policies"].as_array().cloned().unwrap_or_default();
            links.extend(policies.iter().map(|name| json!({ "Name": name })));
            token["Policies"] = json!(links);
        };
        self.change("acl/token", accessor, link).await
    }

    /// `acl/token/<accessor>`: removes a token. One that is gone already is no error.
    ///
    /// # Errors
    /// All of [`Error`](super::Error), but no "not found".
    pub async fn acl_delete_token(&self, accessor: &str) -> Result<()> {
        self.delete("acl/token", accessor).await
    }

    /// Reads a thing whole, changes a part of it, and writes it back: what newer Consuls keep in it stays.
    async fn change(
        &self,
        call: &'static str,
        id: &str,
        change: impl FnOnce(&mut Value),
    ) -> Result<()> {
        let mut thing: Value = self.get(call, Some(id)).await?;
        change(&mut thing);
        self.done(call, self.scoped(Method::PUT, call, Some(id)).json(&thing)).await
    }

    async fn delete(&self, call: &'static str, id: &str) -> Result<()> {
        gone(self.done(call, self.scoped(Method::DELETE, call, Some(id))).await).map(drop)
    }
}

/// `None` where Consul says that there is no such policy or token: with 404, or, before 1.11, with 403 or 500 and words
/// that a token without rights gets, too. Whoever may list them has the right.
fn gone<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Err(error) if error.is_acl_gone() => Ok(None),
        result => found(result),
    }
}
