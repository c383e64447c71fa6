//! stub
#[derive(Debug)]
pub struct Random(u64);
impl Random { pub fn new(s:u64)->Self{Self(s)} pub fn next_u64(&mut self)->u64{ self.0=self.0.wrapping_add(0x9E3779B97F4A7C15); let mut z=self.0; z=(z^(z>>30)).wrapping_mul(0xBF58476D1CE4E5B9); z=(z^(z>>27)).wrapping_mul(0x94D049BB133111EB); z^(z>>31)} pub fn below(&mut self,n:usize)->usize{(self.next_u64()%(n as u64)) as usize} pub fn unit(&mut self)->f64{(self.next_u64()>>11) as f64/(1u64<<53) as f64} pub fn shuffle<T>(&mut self,v:&mut [T]){for i in (1..v.len()).rev(){let j=self.below(i+1);v.swap(i,j)}} }
