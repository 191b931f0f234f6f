import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { PlantingGround, planted } from '../defects/plant.ts';
import { type Defect, PLANTED } from '../defects/planted.ts';
import { tempFolder } from '../support/temp-folder.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));

// All of them: `npm run defects`.
describe('planted defects (G-10)', function () {
  this.timeout(60_000);

  for (const defect of PLANTED) {
    it(`can be planted: ${defect.name}`, async () => {
      const sound = await readFile(`${root}${defect.file}`, 'utf8');
      expect(planted(sound, defect)).to.not.equal(sound);
    });
  }

  it('are told apart from what no test notices and from what does not run', async () => {
    const [first] = PLANTED;
    if (first === undefined) throw new Error('none is planted');
    await using folder = await tempFolder();
    const ground = await PlantingGround.make(folder.path);
    const noted: Defect = { ...first, plant: `${first.find} // as before` };
    const broken: Defect = { ...first, plant: 'return (' };
    expect(await ground.judge(first)).to.equal('caught');
    expect(await ground.judge(noted)).to.equal('missed');
    expect(await ground.judge(broken)).to.equal('broken');
  });
});
