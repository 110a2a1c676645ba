//! TLS for the relay's TCP door and for its clients: rustls on plain sockets, without an event loop.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, ConnectionCommon, RootCertStore, ServerConfig, ServerConnection,
};

use super::peer::poll;
use crate::failure::{Category, Failure};
use crate::http::distrust;

/// A peer whose handshake takes longer is dropped.
pub(super) const SHAKES_WITHIN: Duration = Duration::from_secs(5);
/// Who connects and says nothing for this long waits for us to speak first: it does not know that this is TLS.
const SPEAKS_WITHIN: Duration = Duration::from_secs(2);

/// A socket that never blocks whoever reads or writes it, however it is set.
pub(super) struct Now<'a>(pub &'a TcpStream);

impl Read for Now<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        // SAFETY: pointer and length are those of a live slice.
        let read = unsafe {
            libc::recv(
                self.0.as_raw_fd(),
                into.as_mut_ptr().cast(),
                into.len(),
                libc::MSG_DONTWAIT,
            )
        };
        usize::try_from(read).map_err(|_| io::Error::last_os_error())
    }
}

impl Write for Now<'_> {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
        // SAFETY: pointer and length are those of a live slice.
        let sent = unsafe { libc::send(self.0.as_raw_fd(), from.as_ptr().cast(), from.len(), flags) };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether to try again: the socket was not ready, or a signal came.
pub(super) fn is_later(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

/// The certificate chain and key that a relay shows, both PEM. The key must be this user's alone.
pub(super) fn server_config(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, Failure> {
    let unusable = |path: &Path, found: String, hint: &str| {
        let message = format!("{} cannot be used: {found}", path.display());
        Failure::new(Category::Config, "certificate_unusable", message, hint)
    };
    const PEM: &str = "--tls-cert names the certificate with its chain, --tls-key its private key, both PEM";
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable(certificate, error.to_string(), PEM))?;
    if chain.is_empty() {
        return Err(unusable(certificate, "it holds no certificate".into(), PEM));
    }
    let mode = std::fs::metadata(key)
        .map_err(|error| unusable(key, error.to_string(), PEM))?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        let found = format!(
            "its mode is {:o}, so others can read the private key",
            mode & 0o777
        );
        return Err(unusable(key, found, "chmod 600"));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, error.to_string(), PEM))?;
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, secret))
        .map(Arc::new)
        .map_err(|error| unusable(key, error.to_string(), "is it the key of that certificate?"))
}

/// What a server found of a peer that did not get through its handshake.
#[derive(Debug)]
pub(super) enum Unshaken {
    /// It said nothing at all.
    Silent,
    Failed(io::Error),
}

/// A server's side of a handshake, within [`SHAKES_WITHIN`].
pub(super) fn accept(stream: &TcpStream, config: Arc<ServerConfig>) -> Result<ServerConnection, Unshaken> {
    let deadline = Instant::now() + SHAKES_WITHIN;
    if !poll(stream.as_raw_fd(), libc::POLLIN, SPEAKS_WITHIN) {
        return Err(Unshaken::Silent);
    }
    let mut connection =
        ServerConnection::new(config).map_err(|error| Unshaken::Failed(io::Error::other(error)))?;
    connection.set_buffer_limit(None); // writes are bounded by whoever makes them
    shake(&mut connection, stream, deadline).map_err(Unshaken::Failed)?;
    Ok(connection)
}

/// A client's side, within `limit`. Trusts the system's roots, and those in the file `ca`.
pub(super) fn connect(
    stream: &TcpStream,
    host: &str,
    ca: Option<&Path>,
    limit: Duration,
) -> Result<ClientConnection, Failure> {
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).map_err(|_| {
        let message = format!("'{host}' is neither a host name nor an address");
        Failure::new(Category::Usage, "relay_address", message, "write tls:host:port")
    })?;
    let mut connection = ClientConnection::new(client_config(ca)?, name)
        .map_err(|error| untrusted(host, &error.to_string(), ""))?;
    connection.set_buffer_limit(None);
    shake(&mut connection, stream, Instant::now() + limit).map_err(|error| refused(host, &error))?;
    Ok(connection)
}

fn client_config(ca: Option<&Path>) -> Result<Arc<ClientConfig>, Failure> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca {
        let found = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| error.to_string());
        let added = found.map(|found| roots.add_parsable_certificates(found).0);
        if !matches!(added, Ok(1..)) {
            return Err(Failure::new(
                Category::Config,
                "certificate_unusable",
                format!(
                    "{} cannot be used: {}",
                    path.display(),
                    added.err().unwrap_or_else(|| "it holds no certificate".into())
                ),
                "--tls-ca or TIDEMILL_RELAY_CA names a PEM file with the certificates to trust",
            ));
        }
    }
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map(|builder| Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
        .map_err(|error| untrusted("TLS", &error.to_string(), ""))
}

fn untrusted(host: &str, why: &str, hint: &str) -> Failure {
    Failure::new(
        Category::Upstream,
        "relay_untrusted",
        format!("no safe connection to the relay at {host}: {why}"),
        hint,
    )
}

fn refused(host: &str, error: &io::Error) -> Failure {
    use rustls::{CertificateError, Error};
    let hint = match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidMessage(_)) => "a relay without --tls-cert is read as host:port",
        Some(Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature)) => {
            "name its CA with --tls-ca or TIDEMILL_RELAY_CA"
        }
        Some(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => "connect by a name that its certificate has",
        Some(Error::InvalidCertificate(_)) => "give the relay there another certificate",
        _ => "is `tidemill relay --tls-cert …` running there?",
    };
    untrusted(host, &distrust(error).unwrap_or_else(|| error.to_string()), hint)
}

/// Both sides of a handshake. What rustls finds wrong is told to the peer, and inside the error.
fn shake<Data>(
    connection: &mut ConnectionCommon<Data>,
    stream: &TcpStream,
    deadline: Instant,
) -> io::Result<()> {
    let ready = |events| {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || !poll(stream.as_raw_fd(), events, left) {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the handshake took too long",
            ));
        }
        Ok(())
    };
    loop {
        while connection.wants_write() {
            match connection.write_tls(&mut Now(stream)) {
                Ok(_) => {}
                Err(error) if is_later(&error) => ready(libc::POLLOUT)?,
                Err(error) => return Err(error),
            }
        }
        if !connection.is_handshaking() {
            return Ok(());
        }
        ready(libc::POLLIN)?;
        match connection.read_tls(&mut Now(stream)) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) if is_later(&error) => continue,
            Err(error) => return Err(error),
        }
        if let Err(error) = connection.process_new_packets() {
            let _ = connection.write_tls(&mut Now(stream)); // the alert; it may have gone
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
    }
}
