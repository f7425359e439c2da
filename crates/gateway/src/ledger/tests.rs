//! Ledgers that are read when they are asked for, while other processes write.

use super::*;
use imbl::OrdMap;
use ringfence_store::model::Model;
use ringfence_store::seal::Unsealed;
use serde::Deserialize;

/// Numbers by name.
#[derive(Clone, Default)]
struct Numbers(OrdMap<String, u64>);

#[derive(Clone, Serialize, Deserialize)]
struct Number(String, u64);

impl State for Numbers {
    type Area = AccountId;
    type Record = Number;
    const PREFIX: &'static str = "test/";

    fn key(record: &Number) -> String {
        record.0.clone()
    }

    fn put(&mut self, record: Number) {
        self.0.insert(record.0, record.1);
    }

    fn delete(&mut self, key: &str) {
        self.0.remove(key);
    }
}

const ONE: AccountId = AccountId::new(111_111_111_111).unwrap();
const OTHER: AccountId = AccountId::new(222_222_222_222).unwrap();

fn open(model: &Model) -> (Arc<Store>, Ledgers<Numbers>) {
    let store = Arc::new(Store::open(model.clone(), Unsealed).unwrap());
    (store.clone(), Ledgers::open(store).unwrap())
}

/// Writes a number as another process does.
async fn put(ledgers: &Ledgers<Numbers>, area: AccountId, name: &str, number: u64) {
    let ledger = ledgers.get_or_make(area).unwrap();
    let write = |_: &Numbers, batch: &mut Batch<Numbers>| {
        batch.put(Number(name.to_owned(), number));
        Ok(())
    };
    ledger.write_unasked(write).await.unwrap();
}

fn of(ledgers: &Ledgers<Numbers>, area: AccountId) -> Vec<u64> {
    ledgers.get(area).unwrap().for_deciding().0.values().copied().collect()
}

#[tokio::test]
async fn an_area_is_read_when_it_is_asked_for_and_no_other_is() {
    let model = Model::default();
    let (_, writing) = open(&model);
    put(&writing, ONE, "a", 1).await;
    put(&writing, OTHER, "b", 2).await;
    let (_, ledgers) = open(&model);
    assert_eq!(ledgers.areas().len(), 2);
    assert!(ledgers.read_so_far().is_empty());
    assert_eq!(of(&ledgers, ONE), [1]);
    assert_eq!(ledgers.read_so_far().len(), 1);
    assert!(ledgers.get(AccountId::new(333_333_333_333).unwrap()).is_none());
    ledgers.fill(4).unwrap();
    assert_eq!(ledgers.read_so_far().len(), 2);
    assert_eq!(of(&ledgers, OTHER), [2]);
}

#[tokio::test]
async fn what_others_write_in_an_area_that_was_not_read_is_there_when_it_is() {
    let model = Model::default();
    let (_, writing) = open(&model);
    put(&writing, ONE, "a", 1).await;
    let (store, ledgers) = open(&model);
    let at = store.last_position().unwrap();
    put(&writing, ONE, "b", 2).await;
    put(&writing, OTHER, "c", 3).await;
    let news = store.news(at).unwrap();
    assert_eq!(ledgers.follow(&news).unwrap().len(), 2);
    assert!(ledgers.read_so_far().is_empty());
    put(&writing, ONE, "d", 4).await;
    assert_eq!(of(&ledgers, ONE), [1, 2, 4]);
    assert_eq!(of(&ledgers, OTHER), [3]);
    // From here on it is told.
    let at = news.position;
    put(&writing, ONE, "e", 5).await;
    ledgers.follow(&store.news(at).unwrap()).unwrap();
    assert_eq!(of(&ledgers, ONE), [1, 2, 4, 5]);
}

#[test]
fn nothing_is_missed_of_what_is_written_while_an_area_is_read() {
    const ROUNDS: u64 = 200;
    let model = Model::default();
    let (_, writing) = open(&model);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for round in 0..ROUNDS {
        let (store, ledgers) = open(&model);
        let at = store.last_position().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| ledgers.get(ONE));
            runtime.block_on(put(&writing, ONE, &format!("{round:04}"), round));
            ledgers.follow(&store.news(at).unwrap()).unwrap();
        });
        let expected: Vec<u64> = (0..=round).collect();
        assert_eq!(of(&ledgers, ONE), expected, "{round}");
    }
}

#[tokio::test]
async fn a_record_that_does_not_decode_is_told_and_its_account_is_nobodys() {
    let model = Model::default();
    let (store, writing) = open(&model);
    put(&writing, ONE, "a", 1).await;
    let partition = Partition::new(&OTHER.to_string());
    let key = store.blind_key(&partition, Numbers::PREFIX, "a");
    store.commit(Commit::to(partition).put(key, b"\xc1".to_vec())).await.unwrap();
    let (_, ledgers) = open(&model);
    for threads in [1, 3] {
        let error = ledgers.fill(threads).unwrap_err();
        assert!(matches!(&error, StoreError::Record(why) if why.contains("`test/`")), "{error}");
    }
    assert!(ledgers.get(OTHER).is_none());
    assert_eq!(of(&ledgers, ONE), [1]);
}
