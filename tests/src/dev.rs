//! `doorward dev`, running.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::service::binary;

/// A running `doorward dev`, killed when it is dropped.
pub struct Dev {
    /// What it says it answers at.
    pub url: String,
    child: Child,
}

impl Dev {
    /// Starts on a free port with everything in this folder.
    pub fn start(data: &Path) -> Self {
        Self::start_with(data, &[])
    }

    /// The same with options from the environment, such as `("REGISTRATION__MODE", "verified")`.
    pub fn start_with(data: &Path, settings: &[(&str, &str)]) -> Self {
        let settings = settings.iter().map(|(name, value)| (format!("DOORWARD__{name}"), value));
        let mut child = Command::new(binary())
            .args(["dev", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .env_clear()
            .envs(settings)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim_end().strip_prefix("Doorward answers at ").unwrap().to_owned();
        Self { url, child }
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
