use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use doorward::settings::load_serve;
use doorward_domain::Password;
use doorward_screening::{PasswordFilter, build_filter};
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::serve::runtime;
use super::{BadUsage, say};

/// What new passwords are looked for in
#[derive(clap::Args)]
pub(super) struct Passwords {
    #[command(subcommand)]
    act: Act,
}

#[derive(clap::Subcommand)]
enum Act {
    /// Makes a filter of breached passwords from a public list, for `password.filter`
    BuildFilter {
        /// Where the filter is to be; one that is there is replaced, which running services learn of when they start again
        #[arg(long, value_name = "FILE")]
        output: PathBuf,
        /// Leaves out what was found less often
        #[arg(long, value_name = "N", default_value_t = 1)]
        min_count: u64,
        /// SHA-1 hashes, `HASH` or `HASH:COUNT` a line, sorted by hash, as the downloader of Have I Been Pwned writes them;
        /// `-` for standard input
        list: PathBuf,
    },
    /// Reads a filter through, and tells whether it is as it was made
    CheckFilter {
        /// The filter
        file: PathBuf,
    },
    /// Reads one password from standard input, and tells whether a service would refuse it as a new one
    Check {
        /// A configuration file in TOML; the environment overrides it
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

impl Passwords {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self.act {
            Act::BuildFilter { output, min_count, list } => build(&list, min_count, &output),
            Act::CheckFilter { file } => check_filter(&file),
            Act::Check { config } => check(config.as_deref()),
        }
    }
}

fn build(list: &Path, min_count: u64, output: &Path) -> anyhow::Result<()> {
    let list: Box<dyn BufRead> = if list == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        let file = File::open(list).with_context(|| format!("{} cannot be read", list.display()))?;
        Box::new(BufReader::with_capacity(1 << 20, file))
    };
    tell(&build_filter(list, min_count, output)?);
    Ok(())
}

fn check_filter(path: &Path) -> anyhow::Result<()> {
    let filter = PasswordFilter::open(path).and_then(|filter| filter.verify().map(|()| filter));
    let filter = filter.map_err(|error| anyhow::anyhow!("{} {error}", path.display()))?;
    tell(&filter);
    Ok(())
}

fn tell(filter: &PasswordFilter) {
    let (entries, bytes) = (filter.entries(), filter.bytes());
    // In hundredths, so that no fraction has to be counted in floating point.
    let each = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(100) / entries.max(1);
    say(&format!("{entries} entries, {bytes} bytes, {}.{:02} bytes an entry", each / 100, each % 100));
}

fn check(config: Option<&Path>) -> anyhow::Result<()> {
    let (settings, _) = load_serve(config, super::environment()?)?;
    let password = match Password::parse(&read_password()?) {
        Ok(password) => password,
        Err(refused) => bail!("the password would be refused: it {refused}"),
    };
    if let Err(refused) = settings.passwords.check_alone(&password) {
        bail!("the password would be refused: it {refused}");
    }
    runtime()?.block_on(async {
        for (name, screen) in settings.screens.named() {
            if screen.is_common(&password).await.with_context(|| format!("{name} does not tell"))? {
                bail!("the password would be refused: {name} has it");
            }
        }
        say("the password would be accepted, unless it is little more than its user's address");
        Ok(())
    })
}

/// Reads one line. Nothing of it is ever repeated.
fn read_password() -> anyhow::Result<SecretString> {
    /// More than any password, so that one that is too long is told so.
    const LONGEST: usize = 64 * 1024;
    // Reserved in full at once: bytes that moved would leave copies behind that nobody wipes.
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST + 1));
    let limit = u64::try_from(LONGEST).unwrap_or(u64::MAX);
    io::stdin().lock().take(limit).read_to_end(&mut bytes).context("standard input cannot be read")?;
    let unusable = || BadUsage("standard input must hold one password, in UTF-8 and on one line".to_owned());
    let text = str::from_utf8(&bytes).map_err(|_| unusable())?;
    let line = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
    if line.is_empty() || line.contains('\n') {
        return Err(unusable().into());
    }
    Ok(SecretString::from(line.to_owned()))
}
