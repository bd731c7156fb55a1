use doorward_domain::{Password, PasswordHashString};
use password_hash::phc::PasswordHash;
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq;

use super::HashingError;

/// How much of a password bcrypt looks at.
pub(super) const BCRYPT_BYTES: usize = 72;
/// The dearest bcrypt that is verified, about four seconds of one core.
const MOST_BCRYPT_COST: u32 = 16;
/// The most memory, 128 * r * 2^ln bytes, that scrypt may ask for.
const MOST_SCRYPT_BYTES: u64 = 1 << 30;
/// The most PBKDF2 iterations; OWASP asks for 600,000.
const MOST_PBKDF2_ITERATIONS: u32 = 10_000_000;

/// Whether the hash is in bcrypt's own format, which is no PHC string.
pub(super) fn is_bcrypt(hash: &PasswordHashString) -> bool {
    ["$2a$", "$2b$", "$2x$", "$2y$"].iter().any(|prefix| hash.as_str().starts_with(prefix))
}

pub(super) fn verify_bcrypt(password: &Password, hash: &PasswordHashString) -> Result<bool, HashingError> {
    let text = hash.as_str();
    let cost = text.get(4..6).and_then(|digits| digits.parse::<u32>().ok());
    if !text.is_ascii() || text.len() != 60 || cost.is_none_or(|cost| cost > MOST_BCRYPT_COST) {
        return Err(HashingError::Unreadable);
    }
    // Cuts the password at 72 bytes, as the system that made the hash did.
    bcrypt::verify(password.expose().as_bytes(), text).map_err(|_| HashingError::Unreadable)
}

/// Checks a scrypt or PBKDF2 hash.
pub(super) fn verify_phc(password: &Password, hash: &PasswordHash) -> Result<bool, HashingError> {
    let (salt, expected) = salt_and_hash(hash)?;
    let password = password.expose().as_bytes();
    let mut output = vec![0; expected.len()];
    let number = |name: &str| hash.params.get_decimal(name).ok_or(HashingError::Unreadable);
    match hash.algorithm.as_str() {
        "scrypt" => {
            let (log_n, r, p) = (number("ln")?, number("r")?, number("p")?);
            let log_n = u8::try_from(log_n).ok().filter(|n| *n < 32).ok_or(HashingError::Unreadable)?;
            if (128 * u64::from(r)) << log_n > MOST_SCRYPT_BYTES || p > 16 {
                return Err(HashingError::Unreadable);
            }
            let params = scrypt::Params::new(log_n, r, p).map_err(|_| HashingError::Unreadable)?;
            scrypt::scrypt(password, &salt, &params, &mut output).map_err(|_| HashingError::Unreadable)?;
        }
        algorithm @ ("pbkdf2-sha256" | "pbkdf2-sha512") => {
            let iterations = number("i")?;
            if iterations == 0 || iterations > MOST_PBKDF2_ITERATIONS {
                return Err(HashingError::Unreadable);
            }
            if algorithm == "pbkdf2-sha256" {
                pbkdf2::pbkdf2_hmac::<Sha256>(password, &salt, iterations, &mut output);
            } else {
                pbkdf2::pbkdf2_hmac::<Sha512>(password, &salt, iterations, &mut output);
            }
        }
        _ => return Err(HashingError::Unreadable),
    }
    Ok(output.ct_eq(&expected).into())
}

/// The salt and the expected output of a PHC string that has both.
pub(super) fn salt_and_hash(hash: &PasswordHash) -> Result<(Vec<u8>, Vec<u8>), HashingError> {
    match (hash.salt, hash.hash) {
        (Some(salt), Some(output)) => Ok((salt.to_vec(), output.as_bytes().to_vec())),
        _ => Err(HashingError::Unreadable),
    }
}
