//! What moves from one key to another, as other processes take it in.

use super::*;
use ringfence_store::model::Model;
use ringfence_store::seal::Unsealed;
use serde::Deserialize;

const ID: AccountId = AccountId::new(123_456_789_012).unwrap();

/// Somebody of a name, found by a badge.
#[derive(Clone, Serialize, Deserialize)]
struct Person {
    name: String,
    badge: u32,
}

#[derive(Clone, Default)]
struct People {
    by_name: BTreeMap<String, Person>,
    by_badge: BTreeMap<u32, String>,
}

impl State for People {
    type Area = AccountId;
    type Record = Person;
    const PREFIX: &'static str = "person/";

    fn key(record: &Person) -> String {
        record.name.clone()
    }

    fn put(&mut self, record: Person) {
        self.delete(&record.name.clone());
        self.by_badge.insert(record.badge, record.name.clone());
        self.by_name.insert(record.name.clone(), record);
    }

    fn delete(&mut self, key: &str) {
        if let Some(old) = self.by_name.remove(key) {
            self.by_badge.remove(&old.badge);
        }
    }
}

fn person(name: &str, badge: u32) -> Person {
    Person { name: name.into(), badge }
}

/// A process of its own over a shared store.
struct Process {
    store: Arc<Store>,
    people: Ledgers<People>,
    heard: Mutex<u64>,
}

impl Process {
    fn over(model: &Model) -> Self {
        let store = Arc::new(Store::open(model.clone(), Unsealed).unwrap());
        Self { people: Ledgers::load(store.clone()).unwrap(), store, heard: Mutex::default() }
    }

    fn ledger(&self) -> Arc<Ledger<People>> {
        self.people.get_or_make(ID).unwrap()
    }

    fn hear(&self) {
        let mut heard = self.heard.lock().unwrap();
        let news = self.store.news(*heard).unwrap();
        self.people.follow(&news).unwrap();
        *heard = news.position;
    }

    async fn put(&self, name: &str, badge: u32) {
        let put = |_: &People, batch: &mut Batch<People>| {
            batch.put(person(name, badge));
            Ok(())
        };
        self.ledger().write_unasked(put).await.unwrap();
    }

    async fn rename(&self, from: &str, to: &str) {
        let rename = |people: &People, batch: &mut Batch<People>| {
            batch.delete(from.to_owned());
            batch.put(Person { name: to.to_owned(), ..people.by_name[from].clone() });
            Ok(())
        };
        self.ledger().write_unasked(rename).await.unwrap();
    }

    fn badges(&self) -> Vec<(u32, String)> {
        self.ledger().for_deciding().by_badge.clone().into_iter().collect()
    }
}

#[tokio::test]
async fn what_moves_to_another_key_is_found_there_whichever_key_comes_first() {
    let model = Model::default();
    let (here, there) = (Process::over(&model), Process::over(&model));
    for (name, badge) in [("a", 1), ("m", 2), ("z", 3)] {
        here.put(name, badge).await;
    }
    there.hear();
    // One after the other, and several in one go: into a name that somebody had before, too.
    for step in
        [&[("a", "b")][..], &[("b", "a")], &[("m", "q"), ("a", "m"), ("z", "a"), ("q", "z")]]
    {
        for (from, to) in step {
            here.rename(from, to).await;
        }
        there.hear();
        assert_eq!(there.badges(), here.badges());
    }
    let names: Vec<_> = there.badges().into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, ["m", "z", "a"]);
}
