//! Who may open a stream: short signed passes that service and bridge check with one key.
//!
//! `v1.<expiry, unix s>.<subject>.<purpose>.<signature>`, the signature being HMAC-SHA256 over everything
//! before its dot, base64url without padding. A ticket that a session asked for has the session's expiry (unix s) behind
//! the purpose: it opens a stream within 30 s, and the stream ends with the session. The key is `DIR/secret`: 32 random bytes as hex, mode 0600,
//! made by whichever part starts first. `DIR/token` is the owner's bearer token, for programs.

use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::failure::{Category, Failure};

/// A shorter key could be searched for.
const KEY_BYTES_MIN: usize = 32;
/// Longer text than any pass we sign is not looked at.
const PASS_BYTES_MAX: usize = 512;

/// What a pass is for; one made for another purpose is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The cookie of a browser that has signed in.
    Session,
    /// The first message of one stream; lives 30 s.
    Ticket,
}

impl Purpose {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Ticket => "ticket",
        }
    }
}

/// What a pass said, once its signature held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pass {
    pub subject: String,
    /// Until when whoever came in with it may stay, seconds since the epoch.
    pub until_s: u64,
}

/// Why a pass is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not of the form above.
    Malformed,
    /// Not signed with this home's key, or changed since.
    Signature,
    /// Signed for something else.
    Purpose,
    Expired,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Malformed => "it is not a pass of this platform",
            Self::Signature => "its signature does not hold here",
            Self::Purpose => "it was made for another purpose",
            Self::Expired => "it has expired",
        })
    }
}

/// The signing key of a home.
#[derive(Clone)]
pub struct Key(Vec<u8>);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)") // never in a log
    }
}

impl Key {
    /// From the text of `DIR/secret`.
    pub fn from_hex(text: &str) -> Option<Self> {
        let text = text.trim().as_bytes();
        if !text.len().is_multiple_of(2) || text.len() / 2 < KEY_BYTES_MIN {
            return None;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).map(|value| value as u8);
        text.chunks(2)
            .map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?))
            .collect::<Option<Vec<u8>>>()
            .map(Self)
    }

    fn mac(&self, signed: &str) -> Hmac<Sha256> {
        let mut mac = match Hmac::<Sha256>::new_from_slice(&self.0) {
            Ok(mac) => mac,
            Err(_) => unreachable!("HMAC takes keys of any length"),
        };
        mac.update(signed.as_bytes());
        mac
    }

    /// A pass for `subject`, which must be free of dots (ids and role names are).
    pub fn sign(&self, subject: &str, purpose: Purpose, expiry_s: u64) -> String {
        self.seal(format!("v1.{expiry_s}.{subject}.{}", purpose.name()))
    }

    /// A ticket of a session that ends at `until_s`.
    pub fn session_ticket(&self, subject: &str, expiry_s: u64, until_s: u64) -> String {
        let purpose = Purpose::Ticket.name();
        self.seal(format!("v1.{expiry_s}.{subject}.{purpose}.{until_s}"))
    }

    fn seal(&self, signed: String) -> String {
        let signature = URL_SAFE_NO_PAD.encode(self.mac(&signed).finalize().into_bytes());
        format!("{signed}.{signature}")
    }

    /// Checks signature first (in constant time), then purpose and expiry, so that nothing unsigned is
    /// ever interpreted.
    pub fn verify(&self, text: &str, purpose: Purpose, now_s: u64) -> Result<Pass, Refusal> {
        if text.len() > PASS_BYTES_MAX {
            return Err(Refusal::Malformed);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(Refusal::Malformed)?;
        let signature = URL_SAFE_NO_PAD
            .decode(signature)
            .map_err(|_| Refusal::Malformed)?;
        self.mac(signed)
            .verify_slice(&signature)
            .map_err(|_| Refusal::Signature)?;
        let parts: Vec<&str> = signed.split('.').collect();
        let (expiry, subject, found, until) = match *parts.as_slice() {
            ["v1", expiry, subject, found] => (expiry, subject, found, None),
            ["v1", expiry, subject, found, until] => (expiry, subject, found, Some(until)),
            _ => return Err(Refusal::Malformed),
        };
        if found != purpose.name() {
            return Err(Refusal::Purpose);
        }
        let seconds = |text: &str| text.parse::<u64>().map_err(|_| Refusal::Malformed);
        let expiry_s = seconds(expiry)?;
        if now_s >= expiry_s {
            return Err(Refusal::Expired);
        }
        let until_s = match (purpose, until) {
            (Purpose::Session, _) => expiry_s,
            (Purpose::Ticket, None) => u64::MAX,
            (Purpose::Ticket, Some(until)) => seconds(until)?,
        };
        Ok(Pass {
            subject: subject.to_owned(),
            until_s,
        })
    }
}

/// The key in `DIR/secret`, made if it is missing. A file others can read, or too short a key, is refused.
pub fn key(home: &Path) -> Result<Key, Failure> {
    let path = home.join("secret");
    let text = read_or_make(&path).map_err(|error| unusable(&path, &error.to_string(), "remove the file"))?;
    Key::from_hex(&text).ok_or_else(|| {
        unusable(
            &path,
            &format!("it is not at least {} hexadecimal characters", KEY_BYTES_MIN * 2),
            "remove it: a new one is made at the next start, and everyone signs in again",
        )
    })
}

/// The owner's token in `DIR/token`, made if it is missing.
pub fn token(home: &Path) -> Result<String, Failure> {
    token_file(&home.join("token"), true)
}

/// A token from a file that only this user can read; at least 16 characters.
pub fn token_file(path: &Path, make: bool) -> Result<String, Failure> {
    let read = if make {
        read_or_make(path)
    } else {
        read_private(path)
    };
    let text = read.map_err(|error| unusable(path, &error.to_string(), "write a token there, mode 0600"))?;
    let text = text.trim();
    if text.len() < 16 {
        return Err(unusable(
            path,
            &format!("its token has {} characters", text.len()),
            "a token has at least 16 characters; 64 random ones are better",
        ));
    }
    Ok(text.to_owned())
}

/// Whether two secrets are the same text, in a time that does not tell where they differ.
pub fn same_secret(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    if one.len() != other.len() {
        return false; // the length is no secret: it is in the documentation
    }
    let difference = one
        .iter()
        .zip(other)
        .fold(0u8, |sum, (a, b)| std::hint::black_box(sum | (a ^ b)));
    difference == 0
}

fn unusable(path: &Path, found: &str, hint: &str) -> Failure {
    Failure::new(
        Category::Config,
        "secret_unusable",
        format!("{} cannot be used: {found}", path.display()),
        hint,
    )
}

fn read_private(path: &Path) -> io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let mode = file.metadata()?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "others can read it (mode {:o}); chmod 600 {}",
                mode & 0o777,
                path.display()
            ),
        ));
    }
    let mut text = String::new();
    for _ in 0..50 {
        Read::by_ref(&mut file).take(4096).read_to_string(&mut text)?;
        if !text.is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(20)); // a part in another language is just writing it
    }
    Ok(text)
}

/// Several parts may start at once: each writes a whole file beside and links it into place, and the
/// first link wins, so that no one ever reads half a secret.
fn read_or_make(path: &Path) -> io::Result<String> {
    match read_private(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        read => return read,
    }
    let mut bytes = [0u8; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    static STARTS: AtomicU64 = AtomicU64::new(0);
    let start = STARTS.fetch_add(1, Ordering::Relaxed);
    let temporary = PathBuf::from(format!("{}.{}-{start}", path.display(), std::process::id()));
    let _ = std::fs::remove_file(&temporary); // of a killed process that had our id
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(format!("{text}\n").as_bytes())?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&temporary, path);
    std::fs::remove_file(&temporary)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => read_private(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed() -> Key {
        Key::from_hex(&"0123456789abcdef".repeat(4)).unwrap()
    }

    #[test]
    fn agrees_with_another_implementation() {
        // python3 -c "import hmac,hashlib,base64; k=bytes.fromhex('0123456789abcdef'*4); s='v1.1800000000.owner.ticket';
        //   print(base64.urlsafe_b64encode(hmac.new(k,s.encode(),hashlib.sha256).digest()).rstrip(b'=').decode())"
        assert_eq!(
            fixed().sign("owner", Purpose::Ticket, 1_800_000_000),
            "v1.1800000000.owner.ticket.ZNHIXjCZoVHO_qMWmfXPmUBwsLoj7w5aZwj9MjS2A5k"
        );
    }

    #[test]
    fn holds_until_its_expiry_and_for_its_purpose_only() {
        let key = fixed();
        let pass = key.sign("owner", Purpose::Session, 100);
        assert_eq!(
            key.verify(&pass, Purpose::Session, 99),
            Ok(Pass {
                subject: "owner".into(),
                until_s: 100
            })
        );
        assert_eq!(key.verify(&pass, Purpose::Session, 100), Err(Refusal::Expired));
        assert_eq!(key.verify(&pass, Purpose::Ticket, 99), Err(Refusal::Purpose));
        let other = Key::from_hex(&"ff".repeat(32)).unwrap();
        assert_eq!(other.verify(&pass, Purpose::Session, 99), Err(Refusal::Signature));
    }

    #[test]
    fn a_ticket_opens_for_seconds_what_lasts_as_long_as_its_session() {
        let key = fixed();
        let until = |ticket: &str| key.verify(ticket, Purpose::Ticket, 99).map(|pass| pass.until_s);
        let ticket = key.session_ticket("owner-1", 100, 5_000);
        // As another implementation signs it: hmac.digest(bytes.fromhex('0123456789abcdef'*4), b'v1.100.owner-1.ticket.5000', 'sha256')
        assert_eq!(
            ticket,
            "v1.100.owner-1.ticket.5000.2_dhtDpO9SKn1CboTw8vr71SVZOiyPGvfvmJK2RQvaQ"
        );
        assert_eq!(until(&ticket), Ok(5_000));
        assert_eq!(key.verify(&ticket, Purpose::Ticket, 100), Err(Refusal::Expired));
        assert_eq!(key.verify(&ticket, Purpose::Session, 99), Err(Refusal::Purpose));
        assert_eq!(until(&key.sign("owner", Purpose::Ticket, 100)), Ok(u64::MAX));
        assert_eq!(
            until(&key.seal("v1.100.owner-1.ticket.never".into())),
            Err(Refusal::Malformed)
        );
    }

    #[test]
    fn any_changed_byte_is_refused() {
        let key = fixed();
        let pass = key.sign("owner", Purpose::Ticket, 1000);
        for at in 0..pass.len() {
            for replacement in [b'0', b'A', b'.', b'='] {
                let mut bytes = pass.clone().into_bytes();
                if bytes[at] == replacement {
                    continue;
                }
                bytes[at] = replacement;
                let text = String::from_utf8(bytes).unwrap();
                assert!(key.verify(&text, Purpose::Ticket, 1).is_err(), "{text}");
            }
            assert!(key.verify(&pass[..at], Purpose::Ticket, 1).is_err());
        }
        for junk in ["", ".", "v1....", "v1.1.a.ticket.", &"x".repeat(10_000)] {
            assert!(key.verify(junk, Purpose::Ticket, 1).is_err());
        }
    }

    #[test]
    fn short_and_strange_keys_are_refused() {
        assert!(Key::from_hex("").is_none());
        assert!(Key::from_hex(&"ab".repeat(31)).is_none());
        assert!(Key::from_hex(&"xy".repeat(32)).is_none());
        assert!(Key::from_hex(&format!("{}\n", "ab".repeat(32))).is_some());
    }

    #[test]
    fn many_starters_agree_on_one_secret_and_only_the_owner_reads_it() {
        let home = tempfile::tempdir().unwrap();
        let passes: Vec<String> = std::thread::scope(|scope| {
            let starters: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| key(home.path()).unwrap().sign("owner", Purpose::Ticket, 1)))
                .collect();
            starters
                .into_iter()
                .map(|starter| starter.join().unwrap())
                .collect()
        });
        assert!(passes.iter().all(|pass| *pass == passes[0]));
        let path = home.path().join("secret");
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let refused = key(home.path()).unwrap_err();
        assert_eq!(refused.code, "secret_unusable");
        assert!(refused.message.contains("chmod 600"), "{refused}");
    }

    #[test]
    fn secrets_compare_by_content() {
        assert!(same_secret("abc", "abc"));
        assert!(!same_secret("abc", "abd"));
        assert!(!same_secret("abc", "abcd"));
        assert!(!same_secret("", "a"));
    }
}
