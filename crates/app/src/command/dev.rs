use std::fs::DirBuilder;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use anyhow::Context as _;
use doorward::settings::load_dev;
use secrecy::SecretString;
use tokio::net::TcpListener;

use super::serve::{run_on, runtime};
use super::{BadUsage, logging};

#[derive(clap::Args)]
pub(super) struct Dev {
    /// Where to listen; a loopback address
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The folder that holds everything, made when there is none
    #[arg(long, default_value = "./doorward-data")]
    data: PathBuf,
}

impl Dev {
    pub(super) fn run(self) -> anyhow::Result<()> {
        if !self.listen.ip().is_loopback() {
            let message = format!("--listen {} is not a loopback address; use `doorward serve`", self.listen);
            return Err(BadUsage(message).into());
        }
        runtime()?.block_on(async {
            let listener =
                TcpListener::bind(self.listen).await.with_context(|| format!("cannot listen on {}", self.listen))?;
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&self.data)
                .with_context(|| format!("cannot make the folder {}", self.data.display()))?;
            let master_key = doorward::master_key_from_file(&self.data.join("master.key"))?;
            let database = self.data.join("doorward.db");
            // A path may hold what means something else in a URL.
            let path = database.display().to_string().replace('%', "%25").replace('?', "%3F");
            let database_url = SecretString::from(format!("sqlite:{path}"));
            let listen = listener.local_addr()?;
            let (settings, server) =
                load_dev(super::environment()?, listen, database_url, master_key, self.data.join("mail"))?;
            logging::start(&server.log)?;
            run_on(listener, settings, server, |url| super::say(&format!("Doorward answers at {url}"))).await
        })
    }
}
