import { createCipheriv, createHash } from 'node:crypto';

/** `size` bytes that look random and depend on the seed only. */
export function seededBytes(size: number, seed: string | number = size): Buffer {
  const key = createHash('sha256').update(String(seed)).digest();
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(size));
}
