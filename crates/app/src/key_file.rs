use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use doorward_auth::{InvalidMasterKey, MasterKey};
use doorward_domain::{Entropy, EntropyUnavailable};
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

use crate::SystemEntropy;

/// Why a key file cannot be used.
#[derive(Debug, Error)]
pub enum KeyFileError {
    /// It cannot be read or made.
    #[error("the key file {} cannot be read or made", .0.display())]
    Io(PathBuf, #[source] io::Error),
    /// Others than its owner may read it.
    #[error("the key file {} can be read by others; it needs mode 0600", .0.display())]
    TooOpen(PathBuf),
    /// It holds no master key.
    #[error("the key file {} holds no master key", .0.display())]
    Invalid(PathBuf, #[source] InvalidMasterKey),
    /// There was no randomness for a new key.
    #[error(transparent)]
    Entropy(#[from] EntropyUnavailable),
}

/// Reads the master key from a file of mode 0600, making both on first use.
///
/// # Errors
///
/// [`KeyFileError`], for a file that others may read as well.
pub fn master_key_from_file(path: &Path) -> Result<MasterKey, KeyFileError> {
    read_or_make(path, &SystemEntropy)
}

fn read_or_make(path: &Path, entropy: &dyn Entropy) -> Result<MasterKey, KeyFileError> {
    let io_error = |error| KeyFileError::Io(path.to_owned(), error);
    if !fs::exists(path).map_err(io_error)? {
        make(path, entropy)?;
    }
    let mode = fs::metadata(path).map_err(io_error)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(KeyFileError::TooOpen(path.to_owned()));
    }
    let text = SecretString::from(fs::read_to_string(path).map_err(io_error)?);
    let text = SecretString::from(text.expose_secret().trim_end().to_owned());
    MasterKey::from_base64(&text).map_err(|error| KeyFileError::Invalid(path.to_owned(), error))
}

/// Puts a whole key in place, or leaves the one that somebody else put there meanwhile: the file is linked to
/// its name when it is complete, so that neither a crash nor a second process finds half of it.
fn make(path: &Path, entropy: &dyn Entropy) -> Result<(), KeyFileError> {
    let io_error = |error| KeyFileError::Io(path.to_owned(), error);
    let key = MasterKey::generate(entropy)?;
    let mut unfinished = path.to_owned().into_os_string();
    unfinished.push(format!(".{}", std::process::id()));
    let unfinished = PathBuf::from(unfinished);
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished).map_err(io_error)?;
    writeln!(file, "{}", key.to_base64().expose_secret()).map_err(io_error)?;
    file.sync_all().map_err(io_error)?;
    let linked = fs::hard_link(&unfinished, path);
    fs::remove_file(&unfinished).map_err(io_error)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(io_error(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let made = read_or_make(&path, &SystemEntropy).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read = read_or_make(&path, &SystemEntropy).unwrap();
        assert_eq!(made.to_base64().expose_secret(), read.to_base64().expose_secret());
    }

    #[test]
    fn an_open_or_empty_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(read_or_make(&path, &SystemEntropy), Err(KeyFileError::TooOpen(_))));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(read_or_make(&path, &SystemEntropy), Err(KeyFileError::Invalid(..))));
    }
}
