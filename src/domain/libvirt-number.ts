/**
 * A number as libvirt reads it (virStrToLong_*): with base 0, "0x" is hexadecimal and a leading 0 octal, as
 * strtol has it; leading white space and "+" are let pass, anything behind the digits is not.
 * @returns undefined where libvirt would refuse the text
 */
export function parseLibvirtNumber(text: string, base: 0 | 10): number | undefined {
  const match = /^[ \t\n\r\v\f]*([+-]?)(\S+)$/.exec(text);
  const digits = match?.[2] ?? '';
  const value = base === 10 ? decimal(digits) : anyBase(digits);
  if (value === undefined || !Number.isSafeInteger(value)) return undefined;
  return match?.[1] === '-' ? -value : value;
}

function decimal(digits: string): number | undefined {
  return /^\d+$/.test(digits) ? Number(digits) : undefined;
}

function anyBase(digits: string): number | undefined {
  if (/^0[xX][0-9a-fA-F]+$/.test(digits)) return parseInt(digits.slice(2), 16);
  if (/^0[0-7]*$/.test(digits)) return parseInt(digits, 8);
  return /^[1-9]\d*$/.test(digits) ? Number(digits) : undefined;
}
