//! https, for the tests of scripts that insist on it.

use std::{error::Error, path::PathBuf, sync::Arc};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

/// PEM files: the certificate with its chain, and its private key.
#[derive(Clone, Debug)]
pub struct Tls {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

pub fn config(tls: &Tls) -> Result<ServerConfig, String> {
    read(tls).map_err(|error| {
        format!(
            "{} and {} don't make a server certificate: {error}",
            tls.certificate.display(),
            tls.key.display()
        )
    })
}

fn read(tls: &Tls) -> Result<ServerConfig, Box<dyn Error>> {
    let chain = CertificateDer::pem_file_iter(&tls.certificate)?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(&tls.key)?;
    Ok(
        ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?,
    )
}
