use std::path::Path;

use doorward::settings::load_serve;

pub(super) fn run(file: Option<&Path>) -> anyhow::Result<()> {
    let (settings, _) = load_serve(file, super::environment()?)?;
    super::serve::runtime()?.block_on(doorward::migrate(&settings))?;
    super::say("the database is up to date");
    Ok(())
}
