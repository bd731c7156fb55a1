use std::fmt;
use std::sync::Arc;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use async_trait::async_trait;
use doorward_domain::{Entropy, Password, PasswordHashString};
use password_hash::phc::{Ident, Output, ParamsString, PasswordHash, Salt};
use subtle::ConstantTimeEq;
use thiserror::Error;

use super::pool::{OnWorkerStart, PoolSize, WorkerPool};
use super::{HashingError, PasswordHasher, Verification, legacy};

/// The cost of argon2id.
///
/// # Defaults
///
/// 19 MiB, 2 iterations, 1 lane: the first choice of the OWASP Password Storage Cheat Sheet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argon2Params {
    memory_kib: u32,
    iterations: u32,
    parallelism: u32,
}

/// Why a cost is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidArgon2Params {
    /// Outside what is safe and what a server can bear.
    #[error("memory must be between {} and {} KiB", Argon2Params::LEAST_MEMORY_KIB, Argon2Params::MOST_MEMORY_KIB)]
    Memory,
    /// Outside what a server can bear.
    #[error("iterations must be between 1 and {}", Argon2Params::MOST_ITERATIONS)]
    Iterations,
    /// Outside what a server can bear.
    #[error("parallelism must be between 1 and {}", Argon2Params::MOST_PARALLELISM)]
    Parallelism,
    /// Below every choice of the OWASP cheat sheet.
    #[error("iterations times memory is too little; at least {} KiB passes are needed", Argon2Params::LEAST_WORK_KIB)]
    TooWeak,
}

impl Argon2Params {
    /// The least memory: OWASP's smallest choice, 7 MiB with 5 iterations.
    pub const LEAST_MEMORY_KIB: u32 = 7 * 1024;
    /// The most memory, 1 GiB.
    pub const MOST_MEMORY_KIB: u32 = 1024 * 1024;
    /// The most iterations.
    pub const MOST_ITERATIONS: u32 = 64;
    /// The most lanes.
    pub const MOST_PARALLELISM: u32 = 16;
    /// The least product of memory and iterations, which OWASP's choices all reach.
    pub const LEAST_WORK_KIB: u32 = 35 * 1024;

    /// A cost within bounds.
    ///
    /// # Errors
    ///
    /// [`InvalidArgon2Params`] naming the bound.
    pub const fn new(memory_kib: u32, iterations: u32, parallelism: u32) -> Result<Self, InvalidArgon2Params> {
        if memory_kib < Self::LEAST_MEMORY_KIB || memory_kib > Self::MOST_MEMORY_KIB {
            return Err(InvalidArgon2Params::Memory);
        }
        if iterations == 0 || iterations > Self::MOST_ITERATIONS {
            return Err(InvalidArgon2Params::Iterations);
        }
        if parallelism == 0 || parallelism > Self::MOST_PARALLELISM {
            return Err(InvalidArgon2Params::Parallelism);
        }
        if memory_kib * iterations < Self::LEAST_WORK_KIB {
            return Err(InvalidArgon2Params::TooWeak);
        }
        Ok(Self { memory_kib, iterations, parallelism })
    }

    /// Memory in KiB, iterations and lanes.
    #[must_use]
    pub const fn parts(self) -> (u32, u32, u32) {
        (self.memory_kib, self.iterations, self.parallelism)
    }

    fn params(self) -> Result<Params, HashingError> {
        Params::new(self.memory_kib, self.iterations, self.parallelism, Some(HASH_LENGTH))
            .map_err(|_| HashingError::Failed)
    }
}

impl Default for Argon2Params {
    fn default() -> Self {
        Self { memory_kib: 19 * 1024, iterations: 2, parallelism: 1 }
    }
}

/// 256 bits; what verifiers of PHC strings expect.
const HASH_LENGTH: usize = 32;
/// 128 bits (RFC 9106 section 3.1).
const SALT_LENGTH: usize = 16;

/// argon2id (RFC 9106) on a [`WorkerPool`] whose workers each keep one block of memory.
pub struct Argon2Hasher {
    pool: WorkerPool<Memory>,
    cost: Argon2Params,
    entropy: Arc<dyn Entropy>,
}

impl Argon2Hasher {
    /// Starts the workers. Their memory is allocated when each hashes for the first time.
    ///
    /// # Errors
    ///
    /// What the operating system says when it has no thread to give.
    pub fn start(
        cost: Argon2Params,
        size: PoolSize,
        entropy: Arc<dyn Entropy>,
        on_worker_start: Option<&OnWorkerStart>,
    ) -> std::io::Result<Self> {
        Ok(Self { pool: WorkerPool::start(size, on_worker_start)?, cost, entropy })
    }

    fn salt(&self) -> Result<[u8; SALT_LENGTH], HashingError> {
        let mut salt = [0; SALT_LENGTH];
        self.entropy.fill(&mut salt)?;
        Ok(salt)
    }
}

#[async_trait]
impl PasswordHasher for Argon2Hasher {
    async fn hash(&self, password: &Password) -> Result<PasswordHashString, HashingError> {
        let (cost, salt, password) = (self.cost, self.salt()?, password.clone());
        self.pool.run(move |memory| memory.hash(cost, &password, salt)).await?
    }

    async fn verify<'a>(
        &self,
        password: &Password,
        hash: Option<&'a PasswordHashString>,
    ) -> Result<Verification, HashingError> {
        // The salt serves an upgrade or the dummy; it is drawn either way, so that it tells nothing.
        let (cost, salt, password, hash) = (self.cost, self.salt()?, password.clone(), hash.cloned());
        self.pool
            .run(move |memory| match hash {
                Some(hash) => memory.verify(cost, &password, &hash, salt),
                None => memory.hash(cost, &password, salt).map(|_| Verification::Wrong),
            })
            .await?
    }
}

impl fmt::Debug for Argon2Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Argon2Hasher").field("pool", &self.pool).field("cost", &self.cost).finish_non_exhaustive()
    }
}

/// The memory that a worker hashes in, allocated once: with a fresh allocation for each hash the pages are
/// mapped and zeroed each time, which costs a tenth of the throughput and fragments the heap.
#[derive(Default)]
pub(super) struct Memory(Vec<Block>);

impl Memory {
    fn hash(
        &mut self,
        cost: Argon2Params,
        password: &Password,
        salt: [u8; SALT_LENGTH],
    ) -> Result<PasswordHashString, HashingError> {
        let mut output = [0; HASH_LENGTH];
        self.fill(Algorithm::Argon2id, Version::V0x13, cost.params()?, password, &salt, &mut output)?;
        encode(cost, &salt, &output)
    }

    fn verify(
        &mut self,
        cost: Argon2Params,
        password: &Password,
        hash: &PasswordHashString,
        fresh_salt: [u8; SALT_LENGTH],
    ) -> Result<Verification, HashingError> {
        let (right, current) = if legacy::is_bcrypt(hash) {
            // Of a longer password bcrypt has seen a part, and an upgrade would make whatever was typed behind it
            // the password.
            (legacy::verify_bcrypt(password, hash)?, password.expose().len() > legacy::BCRYPT_BYTES)
        } else {
            let parsed = PasswordHash::new(hash.as_str()).map_err(|_| HashingError::Unreadable)?;
            if parsed.algorithm.as_str().starts_with("argon2") {
                self.verify_argon2(cost, password, &parsed)?
            } else {
                (legacy::verify_phc(password, &parsed)?, false)
            }
        };
        match (right, current) {
            (false, _) => Ok(Verification::Wrong),
            (true, true) => Ok(Verification::Right { upgraded: None }),
            (true, false) => Ok(Verification::Right { upgraded: Some(self.hash(cost, password, fresh_salt)?) }),
        }
    }

    /// Whether the password is right, and whether its hash has the current parameters.
    fn verify_argon2(
        &mut self,
        cost: Argon2Params,
        password: &Password,
        hash: &PasswordHash,
    ) -> Result<(bool, bool), HashingError> {
        let algorithm = Algorithm::new(hash.algorithm.as_str()).map_err(|_| HashingError::Unreadable)?;
        let version =
            hash.version.map_or(Ok(Version::V0x13), Version::try_from).map_err(|_| HashingError::Unreadable)?;
        let params = Params::try_from(hash).map_err(|_| HashingError::Unreadable)?;
        let (salt, expected) = legacy::salt_and_hash(hash)?;
        if params.m_cost() > Argon2Params::MOST_MEMORY_KIB || params.t_cost() > 4 * Argon2Params::MOST_ITERATIONS {
            return Err(HashingError::Unreadable);
        }
        let current = algorithm == Algorithm::Argon2id
            && version == Version::V0x13
            && expected.len() == HASH_LENGTH
            && salt.len() >= SALT_LENGTH
            && (params.m_cost(), params.t_cost(), params.p_cost())
                == (cost.memory_kib, cost.iterations, cost.parallelism);
        let mut output = vec![0; expected.len()];
        self.fill(algorithm, version, params, password, &salt, &mut output)?;
        Ok((output.ct_eq(&expected).into(), current))
    }

    fn fill(
        &mut self,
        algorithm: Algorithm,
        version: Version,
        params: Params,
        password: &Password,
        salt: &[u8],
        output: &mut [u8],
    ) -> Result<(), HashingError> {
        let needed = params.block_count();
        if self.0.len() < needed {
            // Exactly what is needed: growing by doubling would keep twice the memory for good.
            self.0 = Vec::new();
            self.0.resize_with(needed, Block::default);
        }
        Argon2::new(algorithm, version, params)
            .hash_password_into_with_memory(password.expose().as_bytes(), salt, output, self.0.as_mut_slice())
            .map_err(|_| HashingError::Failed)
    }
}

fn encode(
    cost: Argon2Params,
    salt: &[u8; SALT_LENGTH],
    output: &[u8; HASH_LENGTH],
) -> Result<PasswordHashString, HashingError> {
    let failed = |_| HashingError::Failed;
    let mut params = ParamsString::new();
    for (name, value) in [("m", cost.memory_kib), ("t", cost.iterations), ("p", cost.parallelism)] {
        params.add_decimal(name, value).map_err(failed)?;
    }
    let hash = PasswordHash {
        algorithm: Ident::new("argon2id").map_err(failed)?,
        version: Some(Version::V0x13.into()),
        params,
        salt: Some(Salt::new(salt).map_err(failed)?),
        hash: Some(Output::new(output).map_err(failed)?),
    };
    Ok(PasswordHashString::new(hash.to_string()))
}

#[cfg(test)]
mod tests {
    use doorward_domain::MockEntropy;
    use secrecy::SecretString;

    use super::*;

    /// The least cost that is allowed, so that the tests are quick.
    const COST: (u32, u32, u32) = (7 * 1024, 5, 1);

    fn hasher(cost: (u32, u32, u32)) -> Argon2Hasher {
        let mut entropy = MockEntropy::new();
        entropy.expect_fill().returning(|bytes| {
            bytes.fill(9);
            Ok(())
        });
        let cost = Argon2Params::new(cost.0, cost.1, cost.2).unwrap();
        Argon2Hasher::start(cost, PoolSize { workers: 1, queue: 4 }, Arc::new(entropy), None).unwrap()
    }

    fn password(text: &str) -> Password {
        Password::parse(&SecretString::from(text.to_owned())).unwrap()
    }

    async fn verify(hash: &str, text: &str) -> Result<Verification, HashingError> {
        hasher(COST).verify(&password(text), Some(&PasswordHashString::new(hash.to_owned()))).await
    }

    #[pollster::test]
    async fn a_hash_is_a_phc_string_that_verifies() {
        let hasher = hasher(COST);
        let hash = hasher.hash(&password("correct horse")).await.unwrap();
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=7168,t=5,p=1$"), "{}", hash.as_str());
        let right = hasher.verify(&password("correct horse"), Some(&hash)).await;
        assert_eq!(right, Ok(Verification::Right { upgraded: None }));
        assert_eq!(hasher.verify(&password("correct horsf"), Some(&hash)).await, Ok(Verification::Wrong));
        assert_eq!(hasher.verify(&password("correct horse"), None).await, Ok(Verification::Wrong));
    }

    #[pollster::test]
    async fn another_cost_upgrades_the_hash() {
        let old = hasher(COST).hash(&password("correct horse")).await.unwrap();
        let dearer = hasher((8 * 1024, 5, 1));
        let verified = dearer.verify(&password("correct horse"), Some(&old)).await.unwrap();
        let Verification::Right { upgraded: Some(new) } = verified else { panic!("{verified:?}") };
        assert!(new.as_str().contains("m=8192,t=5,p=1"));
        let again = dearer.verify(&password("correct horse"), Some(&new)).await;
        assert_eq!(again, Ok(Verification::Right { upgraded: None }));
        assert_eq!(dearer.verify(&password("wrong"), Some(&old)).await, Ok(Verification::Wrong));
    }

    // Made with argon2-cffi, bcrypt and hashlib of Python, for the password "correct horse battery staple".
    const IMPORTED: &[&str] = &[
        include_str!("testdata/argon2i.txt"),
        include_str!("testdata/argon2d.txt"),
        include_str!("testdata/argon2id_p4.txt"),
        include_str!("testdata/bcrypt_2b.txt"),
        include_str!("testdata/bcrypt_2a.txt"),
        include_str!("testdata/scrypt.txt"),
        include_str!("testdata/pbkdf2_sha256.txt"),
        include_str!("testdata/pbkdf2_sha512.txt"),
    ];

    #[pollster::test]
    async fn imported_hashes_verify_and_are_upgraded() {
        for hash in IMPORTED.iter().map(|text| text.trim_end()) {
            let right = verify(hash, "correct horse battery staple").await;
            let Ok(Verification::Right { upgraded: Some(new) }) = right else { panic!("{hash}: {right:?}") };
            assert!(new.as_str().starts_with("$argon2id$"));
            assert_eq!(verify(hash, "Correct horse battery staple").await, Ok(Verification::Wrong), "{hash}");
        }
    }

    #[pollster::test]
    async fn a_password_that_bcrypt_has_seen_in_part_is_not_upgraded() {
        let long = "x".repeat(80);
        let hash = bcrypt::hash_with_salt(&long, 4, [7; 16]).unwrap().to_string();
        assert_eq!(verify(&hash, &long).await, Ok(Verification::Right { upgraded: None }));
    }

    #[pollster::test]
    async fn what_is_no_hash_is_an_error_and_never_a_match() {
        for hash in [
            "",
            "plain",
            "$argon2id$",
            "$argon2id$v=19$m=7168,t=5,p=1$CQkJCQkJCQkJCQkJCQkJCQ",
            "$argon2id$v=19$m=4294967295,t=5,p=1$CQkJCQkJCQkJCQkJCQkJCQ$AAAAAAAAAAAAAAAAAAAAAA",
            "$argon2id$v=18$m=7168,t=5,p=1$CQkJCQkJCQkJCQkJCQkJCQ$AAAAAAAAAAAAAAAAAAAAAA",
            "$2b$12$tooshort",
            "$2b$99$ééééééééééééééééééééééééééééééééééééééééééééééééééééé",
            "$2b$31$WIwL4bLzUgr4PbfSxLwWCeb4nzlVZ1LB5Iza1ZtHj8IzrjwrWtNfu",
            "$md5$x$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
            "$scrypt$ln=40,r=8,p=1$CQkJCQkJCQkJCQkJCQkJCQ$AAAAAAAAAAAAAAAAAAAAAA",
            "$pbkdf2-sha256$i=4294967295$CQkJCQkJCQkJCQkJCQkJCQ$AAAAAAAAAAAAAAAAAAAAAA",
        ] {
            assert_eq!(verify(hash, "plain").await, Err(HashingError::Unreadable), "{hash}");
        }
    }

    #[test]
    fn a_cost_has_bounds() {
        assert!(Argon2Params::new(19 * 1024, 2, 1).is_ok());
        assert!(Argon2Params::new(46 * 1024, 1, 1).is_ok());
        assert_eq!(Argon2Params::new(1024, 2, 1), Err(InvalidArgon2Params::Memory));
        assert_eq!(Argon2Params::new(u32::MAX, 2, 1), Err(InvalidArgon2Params::Memory));
        assert_eq!(Argon2Params::new(19 * 1024, 0, 1), Err(InvalidArgon2Params::Iterations));
        assert_eq!(Argon2Params::new(19 * 1024, 2, 0), Err(InvalidArgon2Params::Parallelism));
        assert_eq!(Argon2Params::new(7 * 1024, 1, 1), Err(InvalidArgon2Params::TooWeak));
    }
}
