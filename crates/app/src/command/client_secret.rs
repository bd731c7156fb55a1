use doorward_http::{SecretDigest, new_client_secret};
use secrecy::ExposeSecret as _;

/// Makes a secret for a client. It is shown this once; the configuration takes its digest alone.
pub(super) fn run() -> anyhow::Result<()> {
    let secret = new_client_secret(&doorward::SystemEntropy)?;
    super::say(&format!("secret         {}", secret.expose_secret()));
    super::say(&format!("secret_sha256  {}", SecretDigest::of(&secret)));
    Ok(())
}
