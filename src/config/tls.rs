//! TLS settings of the gRPC and HTTP listeners.

use std::{path::PathBuf, str::FromStr};

use clap::{ArgAction, Args};
use rustls::pki_types::ServerName;

/// TLS of the gRPC and HTTP listeners.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "TLS")]
pub struct Tls {
    /// Certificate chain for both listeners, PEM
    ///
    /// Certificate and key are reloaded when a file changes and on SIGHUP.
    #[arg(long, value_name = "FILE", env = "JETON_TLS_CERT")]
    pub tls_cert: Option<PathBuf>,

    /// Private key of the certificate, PEM
    #[arg(long, value_name = "FILE", env = "JETON_TLS_KEY")]
    pub tls_key: Option<PathBuf>,

    /// Serve TLS with a self-signed certificate, created at the first start and kept in the data
    /// directory
    #[arg(long, value_name = "BOOL", env = "JETON_TLS_SELF_SIGNED", default_value_t = false,
          num_args = 0..=1, default_missing_value = "true", action = ArgAction::Set)]
    pub tls_self_signed: bool,

    /// Further names of the self-signed certificate, which is always for `localhost`, 127.0.0.1
    /// and `::1`: DNS names and IP addresses, separated by commas
    ///
    /// A certificate that lacks one of them is made again at the start. Nodes that share a data
    /// directory share the certificate: give all of them the same names.
    #[arg(long, value_name = "LIST", env = "JETON_TLS_SELF_SIGNED_NAME")]
    pub tls_self_signed_name: Option<CertificateNames>,

    /// Serve plain text beyond this machine, because a proxy in front terminates TLS
    ///
    /// Without this and without a certificate, listeners may only bind loopback addresses.
    #[arg(long, value_name = "BOOL", env = "JETON_BEHIND_TLS_PROXY", default_value_t = false,
          num_args = 0..=1, default_missing_value = "true", action = ArgAction::Set)]
    pub behind_tls_proxy: bool,

    /// Certificate authorities that client certificates are verified against, PEM
    ///
    /// A client that presents a certificate of another authority fails the handshake; a client
    /// without a certificate is still served. The certificate does not authenticate the OAuth
    /// client, which needs its secret in any case.
    #[arg(long, value_name = "FILE", env = "JETON_TLS_CLIENT_CA")]
    pub tls_client_ca: Option<PathBuf>,

    /// Revocation lists (CRLs) of the authorities in --tls-client-ca, PEM
    ///
    /// A revoked certificate fails the handshake. So does one that no list covers, and every one
    /// once its list has expired. The file is reloaded like the certificate.
    #[arg(long, value_name = "FILE", env = "JETON_TLS_CLIENT_CRL")]
    pub tls_client_crl: Option<PathBuf>,

    /// Refuse clients that present no certificate during the handshake
    #[arg(long, value_name = "BOOL", env = "JETON_TLS_CLIENT_REQUIRED", default_value_t = false,
          num_args = 0..=1, default_missing_value = "true", action = ArgAction::Set)]
    pub tls_client_required: bool,
}

impl Tls {
    /// Checks the combination of settings, whatever their sources.
    ///
    /// # Errors
    /// If a setting lacks another one that it needs, or contradicts it.
    pub fn check(&self) -> anyhow::Result<()> {
        let has_certificate = self.tls_cert.is_some();
        anyhow::ensure!(
            has_certificate == self.tls_key.is_some(),
            "--tls-cert and --tls-key must be given together"
        );
        anyhow::ensure!(
            !(self.tls_self_signed && has_certificate),
            "--tls-self-signed creates its own certificate: omit --tls-cert and --tls-key"
        );
        anyhow::ensure!(
            self.tls_self_signed || self.tls_self_signed_name.is_none(),
            "--tls-self-signed-name requires --tls-self-signed: other certificates have their names"
        );
        anyhow::ensure!(
            self.tls_client_ca.is_none() || self.tls_self_signed || has_certificate,
            "--tls-client-ca requires TLS: give --tls-cert and --tls-key as well"
        );
        anyhow::ensure!(
            self.tls_client_ca.is_some() || self.tls_client_crl.is_none(),
            "--tls-client-crl requires --tls-client-ca, whose certificates it revokes"
        );
        anyhow::ensure!(
            self.tls_client_ca.is_some() || !self.tls_client_required,
            "--tls-client-required requires --tls-client-ca, to verify the certificates"
        );
        Ok(())
    }
}

/// Names that a certificate is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CertificateNames(Vec<ServerName<'static>>);

impl CertificateNames {
    /// The names.
    #[must_use]
    pub fn as_slice(&self) -> &[ServerName<'static>] {
        &self.0
    }
}

impl FromStr for CertificateNames {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = |item: &str| {
            ServerName::try_from(item.trim().to_owned()).map_err(|_| {
                "must be DNS names and IP addresses, separated by commas, such as \
                 node-1.example.com,192.0.2.1"
                    .to_owned()
            })
        };
        text.split(',').map(name).collect::<Result<_, _>>().map(Self)
    }
}
