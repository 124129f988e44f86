//! Sets of small numbers, one bit each.

/// A set; costs a bit for each number up to the largest that it ever had.
#[derive(Clone, Debug, Default)]
pub(super) struct Bits {
    words: Vec<u64>,
    len: usize,
}

const WIDTH: usize = 64;

fn place(number: usize) -> (usize, u64) {
    (number / WIDTH, 1 << (number % WIDTH))
}

impl Bits {
    /// Returns whether it was not there before.
    pub(super) fn insert(&mut self, number: usize) -> bool {
        let (word, bit) = place(number);
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        let new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        self.len += usize::from(new);
        new
    }

    /// Returns whether it was there.
    pub(super) fn remove(&mut self, number: usize) -> bool {
        let (word, bit) = place(number);
        let known = self.word(word) & bit != 0;
        if known {
            self.words[word] &= !bit;
            self.len -= 1;
        }
        known
    }

    /// Adds all of another set.
    pub(super) fn add(&mut self, other: &Self) {
        if self.words.len() < other.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        for (word, more) in self.words.iter_mut().zip(&other.words) {
            self.len += ones(more & !*word);
            *word |= more;
        }
    }

    pub(super) fn contains(&self, number: usize) -> bool {
        let (word, bit) = place(number);
        self.word(word) & bit != 0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        let words = self.words.iter().enumerate();
        words.flat_map(|(index, word)| Ones(*word).map(move |bit| index * WIDTH + bit))
    }

    /// The numbers that are not in `without`.
    pub(super) fn iter_without(&self, without: &Self) -> impl Iterator<Item = usize> {
        let words = self.words.iter().enumerate();
        words.flat_map(|(index, word)| {
            Ones(word & !without.word(index)).map(move |bit| index * WIDTH + bit)
        })
    }

    /// The first number that is not in `without`, from `from` on and then from the start.
    pub(super) fn first_without(&self, without: &Self, from: usize) -> Option<usize> {
        let (start, bit) = place(from);
        let found = |index: usize, mask: u64| {
            let word = self.words.get(index)? & !without.word(index) & mask;
            (word != 0).then(|| index * WIDTH + trailing_zeros(word))
        };
        // `bit - 1` are the places before `from`.
        found(start, !(bit - 1))
            .or_else(|| (start + 1..self.words.len()).find_map(|index| found(index, u64::MAX)))
            .or_else(|| (0..=start).find_map(|index| found(index, u64::MAX)))
    }

    fn word(&self, index: usize) -> u64 {
        self.words.get(index).copied().unwrap_or_default()
    }
}

/// A few numbers out of a large range, to be looked up in many sets.
#[derive(Debug, Default)]
pub(super) struct Sparse(Vec<(usize, u64)>);

impl Sparse {
    /// Of numbers that grow.
    pub(super) fn of(numbers: impl Iterator<Item = usize>) -> Self {
        let mut words: Vec<(usize, u64)> = Vec::new();
        for number in numbers {
            let (index, bit) = place(number);
            match words.last_mut() {
                Some(last) if last.0 == index => last.1 |= bit,
                _ => words.push((index, bit)),
            }
        }
        Self(words)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of the numbers is not in `without`.
    pub(super) fn any_without(&self, without: &Bits) -> bool {
        self.0.iter().any(|(index, bits)| bits & !without.word(*index) != 0)
    }
}

/// The places of the ones in a word.
struct Ones(u64);

impl Iterator for Ones {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let place = (self.0 != 0).then(|| trailing_zeros(self.0))?;
        self.0 &= self.0 - 1;
        Some(place)
    }
}

fn ones(word: u64) -> usize {
    usize::try_from(word.count_ones()).unwrap_or_default()
}

fn trailing_zeros(word: u64) -> usize {
    usize::try_from(word.trailing_zeros()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(numbers: &[usize]) -> Bits {
        let mut bits = Bits::default();
        numbers.iter().for_each(|number| assert!(bits.insert(*number)));
        bits
    }

    #[test]
    fn the_first_without_is_looked_for_all_around() {
        let some = bits(&[1, 63, 64, 200]);
        let first = |without: &[usize], from| some.first_without(&bits(without), from);
        assert_eq!(first(&[], 0), Some(1));
        assert_eq!(first(&[], 2), Some(63));
        assert_eq!(first(&[63, 64], 2), Some(200));
        assert_eq!(first(&[1], 201), Some(63));
        assert_eq!(first(&[63, 64, 200], 64), Some(1));
        assert_eq!(first(&[1, 63, 64, 200], 64), None);
        assert_eq!(first(&[], 5000), Some(1));
        assert_eq!(Bits::default().first_without(&some, 7), None);
    }

    #[test]
    fn sets_are_added_and_compared() {
        let mut some = bits(&[1, 70]);
        some.add(&bits(&[1, 2, 200]));
        assert_eq!(some.iter().collect::<Vec<_>>(), [1, 2, 70, 200]);
        assert_eq!(some.iter_without(&bits(&[2, 3, 70])).collect::<Vec<_>>(), [1, 200]);
        assert!(some.contains(200) && !some.contains(201) && !some.contains(9999));
        [1, 2, 70, 200].iter().for_each(|number| assert!(some.remove(*number)));
        assert!(some.is_empty());
    }

    #[test]
    fn numbers_come_and_go() {
        let mut some = bits(&[5, 70, 6]);
        assert_eq!(some.iter().collect::<Vec<_>>(), [5, 6, 70]);
        assert!(!some.insert(5) && some.remove(70) && !some.remove(70) && !some.remove(9999));
        assert_eq!(some.iter().collect::<Vec<_>>(), [5, 6]);
        assert!(some.remove(5) && some.remove(6) && some.is_empty());
        let few = Sparse::of([3, 70, 71].into_iter());
        assert!(few.any_without(&bits(&[3, 70])) && !few.any_without(&bits(&[3, 70, 71])));
    }
}
