//! The mesh's certificate authority: one root, leaves of 72 hours, SPIFFE names as Consul's.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use serde::{Deserialize, Serialize};

/// What everybody may know about the authority.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Root {
    pub(crate) trust_domain: String,
    pub(crate) cert_pem: String,
}

/// The authority with its key; only the server has it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Authority {
    pub(crate) root: Root,
    key_pem: String,
}

/// A service's certificate and key, as `/v1/agent/connect/ca/leaf/` answers it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Leaf {
    pub(crate) serial_number: String,
    #[serde(rename = "CertPEM")]
    pub(crate) cert_pem: String,
    #[serde(rename = "PrivateKeyPEM")]
    pub(crate) private_key_pem: String,
    pub(crate) service: String,
    #[serde(rename = "ServiceURI")]
    pub(crate) service_uri: String,
    pub(crate) valid_after: String,
    pub(crate) valid_before: String,
}

/// The SPIFFE name of a service.
pub(crate) fn spiffe(trust_domain: &str, datacenter: &str, service: &str) -> String {
    format!("spiffe://{trust_domain}/ns/default/dc/{datacenter}/svc/{service}")
}

fn params(uri: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![SanType::URI(uri.try_into()?)];
    Ok(params)
}

impl Authority {
    /// Makes a new root for a random trust domain.
    pub(crate) fn generate() -> Result<Self, rcgen::Error> {
        let trust_domain = format!("{}.consul", super::random::uuid());
        let key = KeyPair::generate()?;
        let cert = Self::root_params(&trust_domain)?.self_signed(&key)?;
        Ok(Self { root: Root { trust_domain, cert_pem: cert.pem() }, key_pem: key.serialize_pem() })
    }

    fn root_params(trust_domain: &str) -> Result<CertificateParams, rcgen::Error> {
        let mut params = params(&format!("spiffe://{trust_domain}"))?;
        params.distinguished_name.push(DnType::CommonName, format!("devmesh CA {trust_domain}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2120, 1, 1);
        Ok(params)
    }

    /// Signs a new leaf for a service.
    pub(crate) fn leaf(&self, datacenter: &str, service: &str) -> Result<Leaf, rcgen::Error> {
        let uri = spiffe(&self.root.trust_domain, datacenter, service);
        let issuer = Issuer::new(
            Self::root_params(&self.root.trust_domain)?,
            KeyPair::from_pem(&self.key_pem)?,
        );
        let mut params = params(&uri)?;
        params.use_authority_key_identifier_extension = true;
        params.key_usages =
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        // Whole days, because the certificate library's clock type is not ours to depend on.
        let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
        let day = |date: jiff::civil::Date| {
            let (month, day) = (date.month().unsigned_abs(), date.day().unsigned_abs());
            date_time_ymd(date.year().into(), month, day)
        };
        let (from, to) = (
            today.saturating_sub(jiff::Span::new().days(1)),
            today.saturating_add(jiff::Span::new().days(3)),
        );
        params.not_before = day(from);
        params.not_after = day(to);
        let serial = super::random::next();
        params.serial_number = Some(serial.into());
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &issuer)?;
        Ok(Leaf {
            serial_number: format!("{serial:x}"),
            cert_pem: cert.pem(),
            private_key_pem: key.serialize_pem(),
            service: service.into(),
            service_uri: uri,
            valid_after: format!("{from}T00:00:00Z"),
            valid_before: format!("{to}T00:00:00Z"),
        })
    }
}
