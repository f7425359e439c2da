//! The log: what is written, closed, packed and recovered, and what shows of a change by hand.

use super::*;
use ringfence_keyring::SecretBytes;

/// One key of all logs of a test.
fn pkcs8() -> &'static SecretBytes {
    static KEY: OnceLock<SecretBytes> = OnceLock::new();
    KEY.get_or_init(|| LogKey::generate().unwrap())
}

fn open(dir: &Path, rule: SyncRule) -> io::Result<Audit> {
    Audit::open(dir, rule, LogKey::open(pkcs8()).unwrap(), Box::new(|_| {}))
}

async fn say(audit: &Audit, text: &str) {
    audit.reserve().unwrap().record(text, true).await.unwrap();
}

/// A log of so many segments, of one event each: `event 1`, `event 2`, …
async fn log_of(dir: &Path, segments: u32) {
    for number in 1..=segments {
        let audit = open(dir, SyncRule::Grouped).unwrap();
        say(&audit, &format!("event {number}")).await;
    }
}

fn verified(dir: &Path, head: Option<&Head>) -> verify::Report {
    let key = LogKey::open(pkcs8()).unwrap().public().unwrap();
    verify::verify(dir, &key, head).unwrap()
}

/// The files of a directory that end so, in the order of their names.
fn files(dir: &Path, ending: &str) -> Vec<std::path::PathBuf> {
    let all = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> = all.filter(|path| path.to_str().unwrap().ends_with(ending)).collect();
    all.sort();
    all
}

fn lines(dir: &Path) -> Vec<String> {
    let mut all = segment::of_kind(dir, segment::LINES).unwrap();
    all.extend(segment::of_kind(dir, segment::PACKED).unwrap());
    all.sort();
    all.dedup();
    let packed = |name: &Name| {
        let file = File::open(name.file(dir, segment::PACKED)).ok()?;
        io::read_to_string(flate2::read::GzDecoder::new(file)).ok()
    };
    let plain = |name: &Name| std::fs::read_to_string(name.file(dir, segment::LINES)).ok();
    // It may be packed meanwhile.
    let text = |name: &Name| packed(name).or_else(|| plain(name)).or_else(|| packed(name));
    all.iter()
        .flat_map(|name| text(name).unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

/// Waits until what is closed is packed.
fn until_packed(dir: &Path, segments: usize) {
    let until = Instant::now() + Duration::from_secs(20);
    while files(dir, ".jsonl.gz").len() < segments || !files(dir, ".jsonl").is_empty() {
        assert!(Instant::now() < until, "{:?}", files(dir, ""));
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[tokio::test]
async fn a_line_is_written_when_record_returns_and_each_start_begins_a_segment() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..2 {
        let audit = open(dir.path(), SyncRule::Grouped).unwrap();
        for i in 0..3 {
            let place = audit.reserve().unwrap();
            place.record(&format!("{round}.{i}"), i == 1).await.unwrap();
            assert_eq!(lines(dir.path()).last().unwrap(), &format!("{round}.{i}"));
        }
    }
    assert_eq!(lines(dir.path()), ["0.0", "0.1", "0.2", "1.0", "1.1", "1.2"]);
    assert_eq!(files(dir.path(), ".digest").len(), 2);
}

#[tokio::test]
async fn what_is_said_in_one_turn_is_one_batch_in_the_order_said() {
    let dir = tempfile::tempdir().unwrap();
    let audit = open(dir.path(), SyncRule::Grouped).unwrap();
    let say = |text: &str| audit.reserve().unwrap().record(text, false);
    let first = audit.0.as_ref().unwrap().shared.lock().batch.clone();
    let (a, b, c) = tokio::join!(say("a"), say("b"), say("c"));
    assert!(a.is_ok() && b.is_ok() && c.is_ok());
    assert_eq!(first.0.get(), Some(&true));
    assert_eq!(lines(dir.path()), ["a", "b", "c"]);
}

#[tokio::test]
async fn a_log_that_cannot_be_written_gives_no_place_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let audit = open(&dir.path().join("audit"), SyncRule::Every).unwrap();
    std::fs::remove_dir(dir.path().join("audit")).unwrap();
    assert!(matches!(audit.reserve(), Err(Unwritable)));
    std::fs::create_dir(dir.path().join("audit")).unwrap();
    audit.reserve().unwrap().record("a", false).await.unwrap();
    assert_eq!(lines(&dir.path().join("audit")), ["a"]);
}

#[tokio::test]
async fn a_place_that_is_not_used_is_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let audit = open(dir.path(), SyncRule::Grouped).unwrap();
    for _ in 0..10 {
        drop(audit.reserve().unwrap());
    }
    let log = audit.0.as_ref().unwrap();
    assert_eq!(log.shared.places.held(), 0);
    let taken = log.shared.lock().segment.as_ref().unwrap().taken;
    let most = (1 + segment::AHEAD) * LONGEST_EVENT;
    assert!(taken.is_none_or(|taken| taken == most), "{taken:?}");
}

#[tokio::test]
async fn closed_segments_are_packed_and_a_whole_log_verifies() {
    let dir = tempfile::tempdir().unwrap();
    log_of(dir.path(), 3).await;
    let audit = open(dir.path(), SyncRule::Grouped).unwrap();
    until_packed(dir.path(), 3);
    say(&audit, "event 4").await;
    let report = verified(dir.path(), None);
    assert!(report.faults.is_empty(), "{report:?}");
    assert_eq!((report.segments, report.events, report.begins_after), (3, 3, None));
    assert_eq!(lines(dir.path()), ["event 1", "event 2", "event 3", "event 4"]);
}

#[tokio::test]
async fn every_change_to_a_closed_segment_shows() {
    type Harm = fn(&Path);
    let harms: [(&str, Harm); 7] = [
        ("an event changed", |dir| {
            std::fs::write(&files(dir, ".jsonl")[1], "event 9\n").unwrap();
        }),
        ("an event cut", |dir| std::fs::write(&files(dir, ".jsonl")[1], "").unwrap()),
        ("an event added", |dir| {
            std::fs::write(&files(dir, ".jsonl")[1], "event 2\nevent 9\n").unwrap();
        }),
        ("events removed", |dir| std::fs::remove_file(&files(dir, ".jsonl")[1]).unwrap()),
        ("a segment removed", |dir| {
            std::fs::remove_file(&files(dir, ".jsonl")[1]).unwrap();
            std::fs::remove_file(&files(dir, ".digest")[1]).unwrap();
        }),
        ("a digest removed", |dir| std::fs::remove_file(&files(dir, ".digest")[1]).unwrap()),
        ("a digest changed", |dir| {
            let path = &files(dir, ".digest")[1];
            let text = std::fs::read_to_string(path).unwrap();
            std::fs::write(path, text.replace("\"events\":1", "\"events\":2")).unwrap();
        }),
    ];
    for (what, harm) in harms {
        let dir = tempfile::tempdir().unwrap();
        log_of(dir.path(), 3).await;
        unpack(dir.path());
        assert!(verified(dir.path(), None).faults.is_empty());
        harm(dir.path());
        let report = verified(dir.path(), None);
        assert!(!report.faults.is_empty(), "{what}: {report:?}");
    }
}

#[tokio::test]
async fn a_packed_segment_that_was_changed_shows() {
    let dir = tempfile::tempdir().unwrap();
    log_of(dir.path(), 2).await;
    drop(open(dir.path(), SyncRule::Grouped).unwrap());
    let audit = open(dir.path(), SyncRule::Grouped).unwrap();
    until_packed(dir.path(), 2);
    drop(audit);
    let packed = files(dir.path(), ".jsonl.gz").remove(0);
    let bytes = std::fs::read(&packed).unwrap();
    std::fs::write(&packed, &bytes[..bytes.len() / 2]).unwrap();
    assert_eq!(verified(dir.path(), None).faults.len(), 1);
}

#[tokio::test]
async fn the_oldest_segments_may_go_and_the_newest_only_unnoticed_without_the_head() {
    let dir = tempfile::tempdir().unwrap();
    log_of(dir.path(), 3).await;
    let head = Chain::after(dir.path(), LogKey::open(pkcs8()).unwrap()).unwrap();
    let head = head.head().unwrap().clone();
    let remove = |which: usize| {
        for path in [&files(dir.path(), ".digest")[which], &files(dir.path(), ".jsonl")[which]] {
            std::fs::remove_file(path).unwrap();
        }
    };
    unpack(dir.path());
    remove(0);
    let report = verified(dir.path(), Some(&head));
    assert!(report.faults.is_empty() && report.begins_after.is_some(), "{report:?}");
    remove(1);
    assert!(verified(dir.path(), None).faults.is_empty());
    assert_eq!(verified(dir.path(), Some(&head)).faults.len(), 1);
}

/// Unpacks what is packed.
fn unpack(dir: &Path) {
    for packed in files(dir, ".jsonl.gz") {
        let text = io::read_to_string(flate2::read::GzDecoder::new(File::open(&packed).unwrap()));
        std::fs::write(packed.with_extension(""), text.unwrap()).unwrap();
        std::fs::remove_file(packed).unwrap();
    }
}

#[tokio::test]
async fn what_a_crash_left_is_cut_behind_its_last_line_and_closed() {
    let dir = tempfile::tempdir().unwrap();
    log_of(dir.path(), 1).await;
    std::fs::write(dir.path().join("000002-20260101T000000Z.jsonl"), "event 2\neve").unwrap();
    std::fs::write(dir.path().join("000003-20260101T000000Z.jsonl"), "").unwrap();
    std::fs::write(dir.path().join("000003-20260101T000000Z.tmp"), "x").unwrap();
    let audit = open(dir.path(), SyncRule::Grouped).unwrap();
    say(&audit, "event 3").await;
    let report = verified(dir.path(), None);
    assert!(report.faults.is_empty(), "{report:?}");
    assert_eq!((report.segments, report.events), (2, 2));
    assert_eq!(lines(dir.path()), ["event 1", "event 2", "event 3"]);
    let digest = std::fs::read_to_string(&files(dir.path(), ".digest")[1]).unwrap();
    assert!(digest.contains(r#""recovered":{"torn":3,"asMarked":null}"#), "{digest}");
    assert!(!dir.path().join("000003-20260101T000000Z.tmp").exists());
}

#[tokio::test]
async fn what_was_marked_and_is_changed_shows_while_open_and_after_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let audit = open(dir.path(), SyncRule::Grouped).unwrap();
    say(&audit, "event 1").await;
    let until = Instant::now() + Duration::from_secs(20);
    while verified(dir.path(), None).marked == 0 {
        assert!(Instant::now() < until, "no mark");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // As a crash leaves it.
    let copy = tempfile::tempdir().unwrap();
    for path in files(dir.path(), "") {
        std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    let segment = files(copy.path(), ".jsonl").remove(0);
    assert!(verified(copy.path(), None).faults.is_empty());
    std::fs::write(&segment, "event 9\n").unwrap();
    assert_eq!(verified(copy.path(), None).faults.len(), 1);
    std::fs::write(&segment, "").unwrap();
    assert_eq!(verified(copy.path(), None).faults.len(), 1);
    std::fs::write(&segment, "event 9\n").unwrap();
    drop(open(copy.path(), SyncRule::Grouped).unwrap());
    assert_eq!(verified(copy.path(), None).faults.len(), 1);
}

#[tokio::test]
async fn segments_that_are_full_or_old_are_closed_while_the_log_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let its = heads.clone();
    let key = LogKey::open(pkcs8()).unwrap();
    let kept = Box::new(move |head: &Head| its.lock().unwrap().push(head.clone()));
    let audit = Audit::open(dir.path(), SyncRule::Grouped, key, kept).unwrap();
    say(&audit, "event 1").await;
    let old = Instant::now().checked_sub(OLDEST).unwrap();
    audit.0.as_ref().unwrap().shared.lock().segment.as_mut().unwrap().begun = old;
    say(&audit, "event 2").await;
    let until = Instant::now() + Duration::from_secs(20);
    while files(dir.path(), ".jsonl.gz").is_empty() {
        assert!(Instant::now() < until, "not closed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(lines(dir.path()), ["event 1", "event 2"]);
    drop(audit);
    let heads = heads.lock().unwrap();
    assert_eq!(heads.len(), 2);
    assert!(verified(dir.path(), heads.last()).faults.is_empty());
}
