//! The README's transcript works as printed.

use std::process::Command;

use doorward_tests::Dev;

const README: &str = include_str!("../../../README.md");

/// The fenced block after this heading.
fn block_after(heading: &str) -> String {
    let (_, section) = README.split_once(heading).unwrap_or_else(|| panic!("the README has no `{heading}`"));
    let (_, block) = section.split_once("```bash\n").unwrap();
    block.split_once("```").unwrap().0.to_owned()
}

#[test]
fn the_readmes_transcript_works_as_printed() {
    let transcript = block_after("## Start it");
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path());

    // On the port that this run has, and otherwise to the letter.
    let script = transcript.replace("http://localhost:8080", &dev.url);
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    let expected: Vec<&str> = transcript.lines().filter_map(|line| line.strip_prefix("# -> ")).collect();
    let printed = String::from_utf8(output.stdout).unwrap();
    let printed: Vec<&str> = printed.lines().filter(|line| !line.is_empty()).collect();
    assert!(expected.len() >= 7, "the transcript promises too little: {expected:?}");
    assert_eq!(printed, expected, "{}", String::from_utf8_lossy(&output.stderr));
}
