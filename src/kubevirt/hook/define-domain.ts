import { VsmmuError } from '../../errors.js';
import type { HostFeatures } from '../../smmu/features.js';
import { BASELINE_DEVICES_ANNOTATION, RESOLVED_ANNOTATION, SET_ANNOTATION } from '../annotations.js';
import { parseAnnotation } from '../read-resolved.js';
import { parseVmiBytes, type Vmi } from '../vmi.js';

/** What a VMI's annotations ask for, yet to be parsed: its owner may have written them. */
export interface AskedByVmi {
  /** Annotation vsmmu.io/set. */
  readonly set: string | undefined;
  /** Annotation vsmmu.io/baseline-devices. */
  readonly baselineDevices: string | undefined;
}

/** Rewrites one domain XML by a host's features; throws VsmmuError where it must not start. */
export type RewriteDomain = (xml: string, host: HostFeatures, asked: AskedByVmi) => string;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Answers OnDefineDomain. A pure function of the XML and the annotation: virt-launcher asks two or three times
 * in a boot and loses what its own structs don't know in between, so nothing may depend on an earlier answer.
 * Without the values of the VM's own node it fails: KubeVirt then shows the message in the VMI's condition and
 * events and tries again, whereas a VM with another node's values starts and breaks.
 *
 * @param vmi JSON of the VMI as virt-launcher has it; nothing of its text reaches the XML but the annotation's
 *   and wishes' validated numbers, enumerations and addresses
 * @throws VsmmuError
 */
export function defineDomain(domainXml: Uint8Array, vmi: Uint8Array, rewrite: RewriteDomain): Uint8Array {
  const parsed = parseVmiBytes(vmi);
  const features = featuresForVmi(parsed);
  const asked = {
    set: parsed.annotations?.[SET_ANNOTATION],
    baselineDevices: parsed.annotations?.[BASELINE_DEVICES_ANNOTATION],
  };
  return new TextEncoder().encode(rewrite(decode(domainXml), features, asked));
}

/** @throws VsmmuError ANNOTATION_MISSING, ANNOTATION_NODE, ANNOTATION_MALFORMED, ANNOTATION_VERSION */
export function featuresForVmi(vmi: Vmi): HostFeatures {
  const place = `VMI ${vmi.namespace}/${vmi.name}`;
  const text = vmi.annotations?.[RESOLVED_ANNOTATION];
  if (text === undefined)
    throw new VsmmuError(
      'ANNOTATION_MISSING',
      `it has no annotation ${RESOLVED_ANNOTATION}, so the values of node ${nodeText(vmi)} are not known.`,
      {
        place,
        remedy:
          "Check that vsmmu's webhook answers and that its agent has published the node (kubectl get nodeprofiles); the next update of the VMI brings the annotation.",
      },
    );
  const { node, features } = parseAnnotation(text);
  if (vmi.nodeName !== undefined && vmi.nodeName !== node)
    throw new VsmmuError(
      'ANNOTATION_NODE',
      `annotation ${RESOLVED_ANNOTATION} speaks of node ${node}, but the VM is on ${nodeText(vmi)}.`,
      {
        place,
        remedy: 'The next update of the VMI brings the values of its node; check that the webhook answers.',
      },
    );
  return features;
}

function nodeText(vmi: Vmi): string {
  return vmi.nodeName ?? '(none yet)';
}

function decode(domainXml: Uint8Array): string {
  try {
    return utf8.decode(domainXml);
  } catch (error) {
    throw new VsmmuError('VMI_MALFORMED', 'the domain XML is not UTF-8.', {
      place: 'domainXML',
      remedy: 'virt-launcher sends UTF-8; look for another hook that changed the XML before this one.',
      cause: error,
    });
  }
}
