import type { Fetcher } from '../fetchers/fetcher.ts';
import type { ModuleMatcher, VersionMatcher } from '../gomod/module-pattern.ts';
import { isCanonicalVersion } from '../gomod/version.ts';
import type { FillMode, NetworkMode } from './fill-modes.ts';

/** What a rule says about some modules, or about some versions of them. */
export interface GoPolicy {
  readonly match: ModuleMatcher;
  /** Absent: every version, and what has none: lists and queries. */
  readonly versions?: VersionMatcher | undefined;
  /** Why they are refused. Absent: they are not. */
  readonly deny?: string | undefined;
  /** Absent: the rule's. */
  readonly fetcher?: Fetcher | undefined;
  /** Absent: the rule's. */
  readonly mode?: FillMode | undefined;
  /** Absent: the rule's. */
  readonly network?: NetworkMode | undefined;
  /** True: neither peers nor a checksum database learn of them. */
  readonly private: boolean;
}

/** What the modules of a rule are subject to: the first policy that fits counts. */
export class GoPolicies {
  readonly #policies: readonly GoPolicy[];
  readonly #noSumdb: ModuleMatcher;

  /** `noSumdb`: modules whose lookups do not leave the node, besides the private ones. */
  constructor(policies: readonly GoPolicy[], noSumdb: ModuleMatcher = () => false) {
    this.#policies = policies;
    this.#noSumdb = noSumdb;
  }

  /** The policy of a module and, where the request names one, its version; names unescaped. Absent: the rule's own settings hold. */
  of(module: string, version: string | undefined): GoPolicy | undefined {
    // A branch is in no range; what it stands for is judged when it is asked for by its own name.
    const known = version !== undefined && isCanonicalVersion(version) ? version : undefined;
    return this.#policies.find(
      ({ match, versions }) =>
        match(module) && (versions === undefined || (known !== undefined && versions(known))),
    );
  }

  /** Why a module's checksum is not looked up. Absent: it may be. */
  lookupRefusal(module: string, version: string): string | undefined {
    const policy = this.of(module, version);
    if (policy?.deny !== undefined) return policy.deny;
    const hidden = this.hidesSums(module, version);
    return hidden
      ? `${module} is private: its checksum is not looked up; set GONOSUMDB or GOPRIVATE for it`
      : undefined;
  }

  /** True: the checksum databases must not learn of the module, or of this version of it. */
  hidesSums(module: string, version?: string | undefined): boolean {
    if (this.#noSumdb(module) || this.of(module, undefined)?.private === true) return true;
    return version !== undefined && this.of(module, version)?.private === true;
  }
}
