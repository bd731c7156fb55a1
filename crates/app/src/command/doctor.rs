use std::path::Path;

use anyhow::bail;
use doorward::settings::load_serve;

pub(super) fn run(file: Option<&Path>) -> anyhow::Result<()> {
    let (settings, _) = load_serve(file, super::environment()?)?;
    super::say("ok: the configuration is valid");
    let findings = super::serve::runtime()?.block_on(doorward::diagnose(settings));
    for finding in &findings {
        match &finding.problem {
            None => super::say(&format!("ok: {}", finding.subject)),
            Some(problem) => super::say(&format!("PROBLEM: it is not so that {}: {problem}", finding.subject)),
        }
    }
    match findings.iter().filter(|finding| finding.problem.is_some()).count() {
        0 => Ok(()),
        1 => bail!("1 problem was found"),
        n => bail!("{n} problems were found"),
    }
}
