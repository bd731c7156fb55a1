use std::path::Path;

use doorward::settings::load_serve;

pub(super) fn run(file: Option<&Path>) -> anyhow::Result<()> {
    let (mut settings, _) = load_serve(file, super::environment()?)?;
    settings.database.migrate = true;
    super::serve::runtime()?.block_on(doorward::migrate(&settings.database))?;
    super::say("the database is up to date");
    Ok(())
}
