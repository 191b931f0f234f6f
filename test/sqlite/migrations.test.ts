import { expect } from 'chai';
import { kindOf, messageOf } from '../../src/errors.ts';
import {
  type Migration,
  migrate,
  schemaVersion,
  UPDATED_AT,
  updatedAtTrigger,
} from '../../src/sqlite/migrations.ts';
import { openDatabase } from '../../src/sqlite/open-database.ts';

const first: Migration = {
  version: 1,
  sql: `CREATE TABLE a (x INTEGER, ${UPDATED_AT}); ${updatedAtTrigger('a')}`,
};
const second: Migration = { version: 2, sql: 'ALTER TABLE a ADD COLUMN y INTEGER' };

describe('migrate', () => {
  it('runs the steps that are missing, once', () => {
    const database = openDatabase(':memory:');
    migrate(database, 'one', [first]);
    migrate(database, 'one', [first, second]);
    migrate(database, 'one', [first, second]);
    expect(schemaVersion(database, 'one')).to.equal(2);
    expect(database.prepare('SELECT x, y FROM a').all()).to.deep.equal([]);
    database.close();
  });

  it('keeps several schemas apart in one file', () => {
    const database = openDatabase(':memory:');
    migrate(database, 'one', [first]);
    expect(schemaVersion(database, 'two')).to.equal(0);
    migrate(database, 'two', [{ version: 1, sql: 'CREATE TABLE b (x)' }]);
    expect([schemaVersion(database, 'one'), schemaVersion(database, 'two')]).to.deep.equal([1, 1]);
    database.close();
  });

  it('refuses a newer schema and says what to do', () => {
    const database = openDatabase(':memory:');
    migrate(database, 'one', [first, second]);
    try {
      migrate(database, 'one', [first]);
      expect.fail('a newer schema was taken');
    } catch (error) {
      expect(kindOf(error)).to.equal('conflict');
      expect(messageOf(error))
        .to.include('version 2')
        .and.include('knows 1')
        .and.include('newer caje');
    }
    database.close();
  });

  it('leaves nothing of a step that fails', () => {
    const database = openDatabase(':memory:');
    const bad: Migration = { version: 2, sql: 'CREATE TABLE c (x); CREATE TABLE a (x)' };
    expect(() => migrate(database, 'one', [first, bad])).to.throw('already exists');
    expect(schemaVersion(database, 'one')).to.equal(1);
    expect(database.prepare(`SELECT name FROM sqlite_schema WHERE name = 'c'`).all()).to.deep.equal(
      [],
    );
    database.close();
  });

  it('moves updated_at with every update, also within a millisecond', () => {
    const database = openDatabase(':memory:');
    migrate(database, 'one', [first]);
    database.exec('INSERT INTO a (x) VALUES (1)');
    const seen = [0, 1, 2].map((x) => {
      database.exec(`UPDATE a SET x = ${x}`);
      return database.prepare('SELECT updated_at FROM a').pluck().get();
    });
    expect(new Set(seen).size).to.equal(3);
    database.close();
  });
});
