use std::path::{Path, PathBuf};

use anyhow::bail;
use doorward::MasterKey;
use doorward::settings::Settings;
use doorward_auth::token::{KeyInfo, SigningKeys};
use doorward_domain::KeyId;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use super::serve::runtime;
use super::{BadUsage, Tool, json, say};

/// The keys that access tokens are signed with
#[derive(clap::Args)]
pub(super) struct Keys {
    #[command(subcommand)]
    act: Act,
    #[command(flatten)]
    tool: Tool,
}

#[derive(clap::Subcommand)]
enum Act {
    /// Every key, oldest first
    List,
    /// Makes a key that takes over in a quarter of an hour, when every verifier has seen it
    Rotate {
        /// The new key signs at once; whoever has cached the public keys refuses its tokens until they look again
        #[arg(long)]
        now: bool,
    },
    /// Throws a key away at once, one that has leaked: every token that it has signed is refused
    Revoke {
        /// The key's id, its `kid`
        id: String,
    },
    /// Seals what is secret in the database with another master key, which every node needs from then on
    Reseal {
        /// A file with the new master key, as `openssl rand -base64 32` prints it
        #[arg(long, value_name = "PATH")]
        new_master_key_file: PathBuf,
    },
}

impl Keys {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let settings = self.tool.settings()?;
        runtime()?.block_on(async {
            match self.act {
                Act::List => list(&doorward::signing_keys(settings).await?, self.tool.json).await,
                Act::Rotate { now } => rotate(&doorward::signing_keys(settings).await?, now, self.tool.json).await,
                Act::Revoke { id } => {
                    revoke(&doorward::signing_keys(settings).await?, &KeyId::new(id), self.tool.json).await
                }
                Act::Reseal { new_master_key_file } => reseal(&settings, &read_master_key(&new_master_key_file)?).await,
            }
        })
    }
}

/// Never repeats what the file holds.
fn read_master_key(path: &Path) -> Result<MasterKey, BadUsage> {
    let refused = |problem: String| BadUsage(format!("--new-master-key-file {} {problem}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| refused(format!("cannot be read: {error}")))?;
    let text = SecretString::from(text);
    let text = SecretString::from(text.expose_secret().trim_end_matches(['\r', '\n']).to_owned());
    MasterKey::from_base64(&text).map_err(|error| refused(error.to_string()))
}

async fn list(keys: &SigningKeys, json: bool) -> anyhow::Result<()> {
    let keys = keys.list().await?;
    let views: Vec<View> = keys.iter().map(View::from).collect();
    if json {
        say(&json::pretty(&views)?);
        return Ok(());
    }
    for View { id, algorithm, state, created_at, signs_from } in &views {
        say(&format!("{id:<43}  {algorithm:<5}  {state:<9}  made {created_at}  signs from {signs_from}"));
    }
    Ok(())
}

async fn rotate(keys: &SigningKeys, now: bool, json: bool) -> anyhow::Result<()> {
    let Some(id) = keys.rotate(now).await? else {
        bail!("with `tokens.algorithm` HS256 there is no key to rotate; change `tokens.secret`")
    };
    if json {
        say(&json::pretty(&serde_json::json!({ "id": id.as_str() }))?);
    } else if now {
        say(&format!("{id} signs from now on; services may refuse its tokens until they load the public keys again"));
    } else {
        say(&format!("{id} is published, and signs in {} minutes", SigningKeys::LEAD.as_secs() / 60));
    }
    Ok(())
}

async fn revoke(keys: &SigningKeys, id: &KeyId, json: bool) -> anyhow::Result<()> {
    let Some(signing) = keys.revoke(id).await? else { bail!("there is no key {id}") };
    if json {
        let view = serde_json::json!({ "revoked": id.as_str(), "signing": signing.as_str() });
        say(&json::pretty(&view)?);
    } else {
        say(&format!("{id} is gone, and {signing} signs"));
    }
    Ok(())
}

async fn reseal(settings: &Settings, new: &MasterKey) -> anyhow::Result<()> {
    let sealed = doorward::reseal(settings, new).await?;
    say(&format!("{sealed} secrets are sealed with the new master key; start every node again with it"));
    Ok(())
}

/// A key as an operator sees it. There is nothing secret in it.
#[derive(Serialize)]
struct View {
    id: String,
    algorithm: &'static str,
    state: &'static str,
    created_at: String,
    signs_from: String,
}

impl From<&KeyInfo> for View {
    fn from(key: &KeyInfo) -> Self {
        Self {
            id: key.id.as_str().to_owned(),
            algorithm: key.algorithm.as_str(),
            state: key.state.as_str(),
            created_at: key.created_at.to_rfc3339(),
            signs_from: key.signs_from.to_rfc3339(),
        }
    }
}
